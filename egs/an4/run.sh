#!/usr/bin/env bash
# AN4 (CMU Census): names, addresses, numbers and spelled letters; 84 speakers, 0.8 hours.
# Tied triphone states by GMMs, an ensemble of DNNs on them, and one DNN distilled from it; settings are chosen on 8
# training speakers, the test set is only scored. Stage 9 trains GMMs on all 948 utterances, to compare with Kaldi's.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../../local/specialists.sh"
path_option corpus "" "folder of AN4 (holds etc/ and wav/); default: \$KDASR_DATA/an4, ../shared/data/an4, download"
path_option conf conf/default.yaml "settings of every stage"
path_option data data "folder of manifests, features, language"
path_option exp exp "folder of models and results"
option seeds 0-4 "seeds of the ensemble's members"
option student-seed 0 "seed of the student"
option specialists "" "seeds of the members that get specialists, as 0,1,2, and one net on what all know; default: none"
path_option study "" "settings of a study, conf/study.yaml: tables 1 and 5 of the paper on ten members; default: none"
option pool 0-9 "seeds of the study's members"
option speeds 0.8,0.85,0.9,0.95,1.05,1.1,1.15,1.2 "speeds at which students of the study's table 1 hear the training speech too"
option num-jobs 2 "parallel processes"
option scheduler "" "address of a dask scheduler, whose workers are the processes; default: this machine's own"
recipe "$@"

expect_seeds "$specialists"
[[ $specialists ]] || leave_out 10
[[ $study ]] || leave_out 11
settings=(--conf "$conf" "${set_options[@]}" "${overwrite[@]}")
parallel=("${settings[@]}" --num-jobs "$num_jobs" ${scheduler:+--scheduler "$scheduler"})
train=(--features "$data/fbank/train" --ali "$exp/ali/sat/train")
dev=(--dev-features "$data/fbank/dev" --dev-ali "$exp/ali/sat/dev")
scored=(--dev-cuts "$data/manifests/dev" --test-cuts "$data/manifests/test" "${settings[@]}")
gmms=(--for gmm="mono,tri,lda_mllt,sat")

if stage 0 "Corpus: manifests of train, dev (8 training speakers), train_all and test"; then
  kdasr corpus an4 "$data/manifests" ${corpus:+--corpus "$corpus"} "${parallel[@]}"
fi

if stage 1 "Features: filterbanks for the DNN, cepstra for the GMM"; then
  kdasr --for set=train,dev,train_all,test --for type=fbank,mfcc features "$data/{type}/{set}" --type "{type}" \
    --cuts "$data/manifests/{set}" "${parallel[@]}"
fi

if stage 2 "Language: lexicon, topology, n-grams of the training transcripts, the corpus's own unigram"; then
  kdasr lang "$data/lang" --lexicon "$data/manifests/lexicon/lexicon.txt" \
    --cuts "$data/manifests/train_all" --cuts "$data/manifests/test" "${settings[@]}"
  for set in train train_all; do
    kdasr lm "$data/lm/bigram_$set" --cuts "$data/manifests/$set" "${settings[@]}"
    kdasr lm "$data/lm/trigram_$set" --cuts "$data/manifests/$set" "${settings[@]}" --set lm.order=3
  done
  kdasr lm "$data/lm/ug" --arpa "$data/manifests/lexicon/an4.ug.arpa" "${settings[@]}"
fi

train_gmms() { # train_gmms SET FOLDER: monophones from a flat start; from each one's alignment the next is trained
  local gmm before=$2/mono spoken=(--features "$data/mfcc/$1" --cuts "$data/manifests/$1" --lang "$data/lang" "${parallel[@]}")
  kdasr mono "$before" "${spoken[@]}"
  for gmm in tri lda_mllt sat; do
    kdasr align "$2/ali/${before##*/}/train" --model "$before" "${spoken[@]}"
    kdasr tri "$2/$gmm" --part "$gmm" --model "$before" --ali "$2/ali/${before##*/}/train" "${spoken[@]}"
    before=$2/$gmm
  done
}

if stage 3 "GMMs: monophones, triphones of tied states, then LDA and MLLT, then fMLLR"; then
  train_gmms train "$exp"
fi

if stage 4 "Alignments: a transition id for every frame; decoding graphs"; then
  kdasr --for set=train,dev,test align "$exp/ali/sat/{set}" --model "$exp/sat" --features "$data/mfcc/{set}" \
    --cuts "$data/manifests/{set}" --lang "$data/lang" "${parallel[@]}"
  kdasr "${gmms[@]}" graph "$exp/graph/{gmm}" --lang "$data/lang" --lm "$data/lm/bigram_train" --model "$exp/{gmm}" \
    "${settings[@]}"
fi

if stage 5 "Ensemble: members that differ by seed alone (the first is the baseline)"; then
  kdasr train "$exp/members" "${train[@]}" "${dev[@]}" --seeds "$seeds" "${parallel[@]}"
fi

if stage 6 "Distillation: one net of the members' size, taught by the ensemble as training goes"; then
  kdasr distill "$exp/student" "${train[@]}" "${dev[@]}" --teacher "$exp/members" --seeds "$student_seed" "${settings[@]}"
fi

if stage 7 "Frame accuracy of members, ensemble and student"; then
  labelled=(--features "$data/fbank/{set}" --ali "$exp/ali/sat/{set}" "${settings[@]}")
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/members" "${labelled[@]}" --model "$exp/members"
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/student" "${labelled[@]}" \
    --model "$exp/student/student-$student_seed"
fi

if stage 8 "Decoding and scoring: GMMs, members, ensemble, student"; then
  kdasr --for set=dev,test "${gmms[@]}" decode "$exp/decode/{set}/{gmm}" --part "{gmm}" --features "$data/mfcc/{set}" \
    --graph "$exp/graph/{gmm}" --lang "$data/lang" --gmm "$exp/{gmm}" "${settings[@]}"
  searched=(--features "$data/fbank/{set}" --graph "$exp/graph/sat" --lang "$data/lang" "${parallel[@]}")
  kdasr --for set=dev,test decode "$exp/decode/{set}/members" --model "$exp/members" --each "${searched[@]}"
  kdasr --for set=dev,test decode "$exp/decode/{set}/student" --model "$exp/student/student-$student_seed" "${searched[@]}"
  kdasr --for system=mono,tri,lda_mllt,sat,student score "$exp/score/{system}" --dev "$exp/decode/dev/{system}" \
    --test "$exp/decode/test/{system}" "${scored[@]}"
  kdasr score "$exp/score/members" --each --dev "$exp/decode/dev/members" --test "$exp/decode/test/members" "${scored[@]}"
fi

if stage 9 "Comparison with Kaldi: GMMs of all 948 utterances; bigram, trigram and the corpus's own unigram"; then
  train_gmms train_all "$exp/all"
  for lm in bigram:bigram_train:bigram_train_all trigram:trigram_train:trigram_train_all ug:ug:ug; do
    IFS=: read -r lm dev_lm test_lm <<<"$lm"
    for set in dev:"$exp":"$dev_lm" test:"$exp/all":"$test_lm"; do
      IFS=: read -r set models lm_folder <<<"$set"
      kdasr "${gmms[@]}" graph "$exp/all/graph/$set/{gmm}_$lm" --lang "$data/lang" --lm "$data/lm/$lm_folder" \
        --model "$models/{gmm}" "${settings[@]}"
      kdasr "${gmms[@]}" decode "$exp/all/decode/$set/{gmm}_$lm" --part "{gmm}" --gmm "$models/{gmm}" \
        --features "$data/mfcc/$set" --graph "$exp/all/graph/$set/{gmm}_$lm" --lang "$data/lang" "${settings[@]}"
    done
    kdasr "${gmms[@]}" score "$exp/all/score/{gmm}_$lm" --dev "$exp/all/decode/dev/{gmm}_$lm" \
      --test "$exp/all/decode/test/{gmm}_$lm" "${scored[@]}"
  done
fi

if stage 10 "Specialists: subsets of confusable states, a net for each, one net distilled from all of them"; then
  for seed in ${specialists//,/ }; do train_specialists "$seed"; done
fi

# Its filterbanks are normalised per speaker: half of the epochs serve then.
if stage 11 "Study: tables 1 and 5 of the paper on a pool of members, students at nine speeds; their temperature, teachers, width"; then
  own=(--conf "$study" "${set_options[@]}" "${overwrite[@]}" --num-jobs "$num_jobs" ${scheduler:+--scheduler "$scheduler"})
  perturbed=speed_${speeds//,/,speed_} transfer=()
  for set in ${perturbed//,/ }; do transfer+=(--transfer "$data/fbank_speaker/$set"); done
  kdasr --for speed="$speeds" perturb "$data/manifests/speed_{speed}" \
    --cuts "$data/manifests/train" --speed "{speed}" "${overwrite[@]}"
  kdasr --for set="train,dev,test,$perturbed" features "$data/fbank_speaker/{set}" --type fbank \
    --cuts "$data/manifests/{set}" "${own[@]}"
  sets=(--features "$data/fbank_speaker/train" --ali "$exp/ali/sat/train")
  sets+=(--dev-features "$data/fbank_speaker/dev" --dev-ali "$exp/ali/sat/dev")
  decoded=(--graph "$exp/graph/sat" --lang "$data/lang" --dev-cuts "$data/manifests/dev" --test-cuts "$data/manifests/test")
  kdasr train "$exp/study_pool" "${sets[@]}" --seeds "$pool" "${own[@]}"
  sets+=(--members "$exp/study_pool" --test-features "$data/fbank_speaker/test" --test-ali "$exp/ali/sat/test")
  kdasr study "$exp/study_1" --part table_1 "${sets[@]}" "${transfer[@]}" "${decoded[@]}" "${own[@]}"
  kdasr study "$exp/study_axes" --part axes "${sets[@]}" "${transfer[@]}" "${decoded[@]}" "${own[@]}"
  kdasr study "$exp/study_5" --part table_5 "${sets[@]}" "${own[@]}"
fi

if stage 12 "Report: tables of this run"; then
  kdasr report "$exp/results.md" --exp "$exp"
fi

if stage 13 "Deployment: the student and all that it transcribes with, in one folder"; then
  kdasr bundle "$exp/bundle" --model "$exp/student/student-$student_seed" --graph "$exp/graph/sat" --lang "$data/lang" --gmm "$exp/sat" \
    --score "$exp/score/student" "${settings[@]}"
fi
finish
