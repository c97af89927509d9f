#!/usr/bin/env bash
# Your own recordings: a folder of audio files with transcripts.txt. GMMs, an ensemble of DNNs on their alignment, one DNN
# distilled from it, word error rates on recordings held out, and a folder that transcribes others.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
path_option corpus "" "folder of recordings and transcripts.txt (a line NAME WORDS ... each)"
path_option text "" "text of the n-gram, a sentence a line; default: the transcripts of train"
path_option dictionary "" "pronunciations, a line WORD PHONE PHONE ... each; default: CMUdict (English)"
path_option conf conf/default.yaml "settings of every stage"
path_option data data "folder of manifests, features, language"
path_option exp exp "folder of models and results"
option gmm mono "GMM that aligns for the nets: mono; of half an hour of speech or more tri, lda_mllt or sat"
option seeds 0-4 "seeds of the ensemble's members"
option student-seed 0 "seed of the student"
option num-jobs 2 "parallel processes"
recipe "$@"

case $gmm in
  mono | tri | lda_mllt | sat) ;;
  *) recipe_refuse "--gmm wants mono, tri, lda_mllt or sat, got '$gmm'" ;;
esac
settings=(--conf "$conf" "${set_options[@]}" "${overwrite[@]}")
parallel=("${settings[@]}" --num-jobs "$num_jobs")
spoken=(--features "$data/mfcc/train" --cuts "$data/manifests/train" --lang "$data/lang" "${parallel[@]}")
train=(--features "$data/fbank/train" --ali "$exp/ali/$gmm/train")
dev=(--dev-features "$data/fbank/dev" --dev-ali "$exp/ali/$gmm/dev")
student=$exp/student/student-$student_seed
scored=(--dev-cuts "$data/manifests/dev" --test-cuts "$data/manifests/test" "${settings[@]}")

if stage 0 "Corpus: manifests of train, dev and test"; then
  [[ $corpus ]] || recipe_refuse "name your recordings: --corpus DIR, a folder of them and transcripts.txt"
  kdasr corpus own "$data/manifests" --corpus "$corpus" "${parallel[@]}"
fi

if stage 1 "Features: filterbanks for the DNN, cepstra for the GMM"; then
  kdasr --for set=train,dev,test --for type=fbank,mfcc features "$data/{type}/{set}" --type "{type}" \
    --cuts "$data/manifests/{set}" "${parallel[@]}"
fi

if stage 2 "Language: lexicon of transcripts and text, topology, n-gram"; then
  kdasr lexicon "$data/lexicon" --cuts "$data/manifests/train" ${text:+--text "$text"} \
    ${dictionary:+--dictionary "$dictionary"} "${settings[@]}"
  kdasr lang "$data/lang" --lexicon "$data/lexicon/lexicon.txt" --cuts "$data/manifests/train" \
    --cuts "$data/manifests/dev" --cuts "$data/manifests/test" "${settings[@]}"
  if [[ $text ]]; then words=(--text "$text" --lang "$data/lang"); else words=(--cuts "$data/manifests/train"); fi
  kdasr lm "$data/lm" "${words[@]}" "${settings[@]}"
fi

if stage 3 "GMMs, from a flat start to the one that aligns; its alignments and decoding graph"; then
  before=$exp/mono
  kdasr mono "$before" "${spoken[@]}"
  for next in tri lda_mllt sat; do
    [[ ${before##*/} != "$gmm" ]] || break
    kdasr align "$exp/ali/${before##*/}/train" --model "$before" "${spoken[@]}"
    kdasr tri "$exp/$next" --part "$next" --model "$before" --ali "$exp/ali/${before##*/}/train" "${spoken[@]}"
    before=$exp/$next
  done
  kdasr --for set=train,dev,test align "$exp/ali/$gmm/{set}" --model "$exp/$gmm" --features "$data/mfcc/{set}" \
    --cuts "$data/manifests/{set}" --lang "$data/lang" "${parallel[@]}"
  kdasr graph "$exp/graph" --lang "$data/lang" --lm "$data/lm" --model "$exp/$gmm" "${settings[@]}"
fi

if stage 4 "Ensemble: members that differ by seed alone (the first is the baseline)"; then
  kdasr train "$exp/members" "${train[@]}" "${dev[@]}" --seeds "$seeds" "${parallel[@]}"
fi

if stage 5 "Distillation: one net of the members' size, taught by the ensemble as training goes"; then
  kdasr distill "$exp/student" "${train[@]}" "${dev[@]}" --teacher "$exp/members" --seeds "$student_seed" "${settings[@]}"
fi

if stage 6 "Frame accuracy of members, ensemble and student"; then
  labelled=(--features "$data/fbank/{set}" --ali "$exp/ali/$gmm/{set}" "${settings[@]}")
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/members" "${labelled[@]}" --model "$exp/members"
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/student" "${labelled[@]}" --model "$student"
fi

if stage 7 "Decoding and scoring: GMM, members, ensemble, student"; then
  searched=(--graph "$exp/graph" --lang "$data/lang")
  kdasr --for set=dev,test decode "$exp/decode/{set}/$gmm" --part "$gmm" --features "$data/mfcc/{set}" "${searched[@]}" \
    --gmm "$exp/$gmm" "${settings[@]}"
  kdasr --for set=dev,test decode "$exp/decode/{set}/members" --features "$data/fbank/{set}" "${searched[@]}" \
    --model "$exp/members" --each "${parallel[@]}"
  kdasr --for set=dev,test decode "$exp/decode/{set}/student" --features "$data/fbank/{set}" "${searched[@]}" \
    --model "$student" "${parallel[@]}"
  kdasr --for system="$gmm,student" score "$exp/score/{system}" --dev "$exp/decode/dev/{system}" \
    --test "$exp/decode/test/{system}" "${scored[@]}"
  kdasr score "$exp/score/members" --each --dev "$exp/decode/dev/members" --test "$exp/decode/test/members" "${scored[@]}"
fi

if stage 8 "Deployment: the student and all that it transcribes with, in one folder"; then
  kdasr bundle "$exp/bundle" --model "$student" --graph "$exp/graph" --lang "$data/lang" --gmm "$exp/$gmm" \
    --score "$exp/score/student" "${settings[@]}"
fi

if stage 9 "Report: tables of this run"; then
  kdasr report "$exp/results.md" --exp "$exp"
fi
finish
