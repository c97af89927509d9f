#!/usr/bin/env bash
# Mini LibriSpeech: 5 hours of read books, 28 speakers; CMUdict, a trigram of 20,000 words.
# Tied triphone states by GMMs, an ensemble of DNNs on them, and one DNN distilled from it; 3 training speakers are dev.
# egs/librispeech runs this with the sets of the full corpus.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../../local/specialists.sh"
path_option corpus "" "folder of LibriSpeech/; default: \$KDASR_DATA/mini_librispeech, ../shared/data/mini_librispeech, download"
path_option text "" "text of the n-gram, a sentence a line; default: \$KDASR_DATA/lm/text.gz, ../shared/data/lm/text.gz"
path_option arpa "" "a given n-gram in place of the text's, e.g. LibriSpeech's own"
path_option dictionary "" "pronunciations in CMUdict's format; default: CMUdict"
path_option conf conf/default.yaml "settings of every stage"
path_option data data "folder of manifests, features, language"
path_option exp exp "folder of models and results"
option seeds 0-4 "seeds of the ensemble's members"
option student-seed 0 "seed of the student"
option specialists "" "seeds of the members that get specialists, as 0,1,2, and one net on what all know; default: none"
option study no "yes: table 1 of the paper by students of three seeds"
option other no "yes: score the sets dev_other and test_other too"
option num-jobs 2 "parallel processes"
option scheduler "" "address of a dask scheduler, whose workers are the processes; default: this machine's own"
recipe "$@"

expect_seeds "$specialists"
[[ $specialists ]] || leave_out 12
[[ $study == yes ]] || leave_out 13
[[ $other == yes ]] || leave_out 14
for place in ${KDASR_DATA:+"$KDASR_DATA"} ../../../shared/data; do
  [[ $text || ! -f $place/lm/text.gz ]] || text=$place/lm/text.gz
done
settings=(--conf "$conf" "${set_options[@]}" "${overwrite[@]}")
parallel=("${settings[@]}" --num-jobs "$num_jobs" ${scheduler:+--scheduler "$scheduler"})
spoken=(--features "$data/mfcc/train" --cuts "$data/manifests/train" --lang "$data/lang" "${parallel[@]}")
train=(--features "$data/fbank/train" --ali "$exp/ali/sat/train")
dev=(--dev-features "$data/fbank/dev" --dev-ali "$exp/ali/sat/dev")
student=$exp/student/student-$student_seed
scored=(--dev-cuts "$data/manifests/dev" --test-cuts "$data/manifests/test" "${settings[@]}")
gmms=(--for gmm="mono,tri,lda_mllt,sat")

if stage 0 "Corpus: manifests of train, its shortest utterances, dev (3 training speakers) and test"; then
  kdasr corpus librispeech "$data/manifests" ${corpus:+--corpus "$corpus"} "${parallel[@]}"
fi

if stage 1 "Features: filterbanks for the DNN, cepstra for the GMM"; then
  kdasr --for set=train,dev,test --for type=fbank,mfcc features "$data/{type}/{set}" --type "{type}" \
    --cuts "$data/manifests/{set}" "${parallel[@]}"
  kdasr features "$data/mfcc/train_short" --type mfcc --cuts "$data/manifests/train_short" "${parallel[@]}"
fi

if stage 2 "Language: lexicon of transcripts and n-gram, topology, pruned trigram of the text"; then
  [[ $text || $arpa ]] || recipe_refuse "no text for the n-gram: name one (--text FILE), or a given n-gram (--arpa FILE)"
  if [[ $arpa ]]; then words=(--arpa "$arpa") lexicon=(); else words=(--text "$text") lexicon=(--lang "$data/lang"); fi
  kdasr lexicon "$data/lexicon" --cuts "$data/manifests/train" "${words[@]}" \
    ${dictionary:+--dictionary "$dictionary"} "${settings[@]}"
  kdasr lang "$data/lang" --lexicon "$data/lexicon/lexicon.txt" --cuts "$data/manifests/train" \
    --cuts "$data/manifests/dev" --cuts "$data/manifests/test" "${settings[@]}"
  kdasr lm "$data/lm" "${words[@]}" "${lexicon[@]}" "${settings[@]}"
fi

if stage 3 "Monophone GMM of the shortest utterances, from a flat start; its alignment of all"; then
  kdasr mono "$exp/mono" --features "$data/mfcc/train_short" --cuts "$data/manifests/train_short" --lang "$data/lang" \
    "${parallel[@]}"
  kdasr align "$exp/ali/mono/train" --model "$exp/mono" "${spoken[@]}"
fi

if stage 4 "Triphone GMM: tied states, cepstra with differences"; then
  kdasr tri "$exp/tri" --part tri --model "$exp/mono" --ali "$exp/ali/mono/train" "${spoken[@]}"
  kdasr align "$exp/ali/tri/train" --model "$exp/tri" "${spoken[@]}"
fi

if stage 5 "Triphone GMM: spliced cepstra, LDA and MLLT"; then
  kdasr tri "$exp/lda_mllt" --part lda_mllt --model "$exp/tri" --ali "$exp/ali/tri/train" "${spoken[@]}"
  kdasr align "$exp/ali/lda_mllt/train" --model "$exp/lda_mllt" "${spoken[@]}"
fi

if stage 6 "Triphone GMM: speaker-adaptive, fMLLR"; then
  kdasr tri "$exp/sat" --part sat --model "$exp/lda_mllt" --ali "$exp/ali/lda_mllt/train" "${spoken[@]}"
fi

if stage 7 "Alignments: a transition id for every frame; decoding graphs"; then
  kdasr --for set=train,dev,test align "$exp/ali/sat/{set}" --model "$exp/sat" --features "$data/mfcc/{set}" \
    --cuts "$data/manifests/{set}" --lang "$data/lang" "${parallel[@]}"
  kdasr "${gmms[@]}" graph "$exp/graph/{gmm}" --lang "$data/lang" --lm "$data/lm" --model "$exp/{gmm}" \
    "${settings[@]}"
fi

if stage 8 "Ensemble: members that differ by seed alone (the first is the baseline)"; then
  kdasr train "$exp/members" "${train[@]}" "${dev[@]}" --seeds "$seeds" "${parallel[@]}"
fi

if stage 9 "Distillation: one net of the members' size, taught by the ensemble as training goes"; then
  kdasr distill "$exp/student" "${train[@]}" "${dev[@]}" --teacher "$exp/members" --seeds "$student_seed" "${settings[@]}"
fi

if stage 10 "Frame accuracy of members, ensemble and student"; then
  labelled=(--features "$data/fbank/{set}" --ali "$exp/ali/sat/{set}" "${settings[@]}")
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/members" "${labelled[@]}" --model "$exp/members"
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/student" "${labelled[@]}" --model "$student"
fi

if stage 11 "Decoding and scoring: GMMs, members, ensemble, student"; then
  kdasr --for set=dev,test "${gmms[@]}" decode "$exp/decode/{set}/{gmm}" --part "{gmm}" --features "$data/mfcc/{set}" \
    --graph "$exp/graph/{gmm}" --lang "$data/lang" --gmm "$exp/{gmm}" "${settings[@]}"
  searched=(--features "$data/fbank/{set}" --graph "$exp/graph/sat" --lang "$data/lang" "${parallel[@]}")
  kdasr --for set=dev,test decode "$exp/decode/{set}/members" --model "$exp/members" --each "${searched[@]}"
  kdasr --for set=dev,test decode "$exp/decode/{set}/student" --model "$student" "${searched[@]}"
  kdasr --for system=mono,tri,lda_mllt,sat,student score "$exp/score/{system}" --dev "$exp/decode/dev/{system}" \
    --test "$exp/decode/test/{system}" "${scored[@]}"
  kdasr score "$exp/score/members" --each --dev "$exp/decode/dev/members" --test "$exp/decode/test/members" "${scored[@]}"
fi

if stage 12 "Specialists: subsets of confusable states, a net for each, one net distilled from all of them"; then
  for seed in ${specialists//,/ }; do train_specialists "$seed"; done
fi

if stage 13 "Study: table 1 of the paper, the members as its pool; students of three seeds"; then
  sets=("${train[@]}" "${dev[@]}" --test-features "$data/fbank/test" --test-ali "$exp/ali/sat/test" --members "$exp/members")
  decoded=(--graph "$exp/graph/sat" --lang "$data/lang" --dev-cuts "$data/manifests/dev" --test-cuts "$data/manifests/test")
  kdasr study "$exp/study_1" --part table_1 "${sets[@]}" "${decoded[@]}" "${parallel[@]}"
fi

if stage 14 "Other speakers: speaker-adaptive GMM, ensemble and student on dev_other and test_other"; then
  kdasr --for set=dev_other,test_other --for type=fbank,mfcc features "$data/{type}/{set}" --type "{type}" \
    --cuts "$data/manifests/{set}" "${parallel[@]}"
  searched=(--graph "$exp/graph/sat" --lang "$data/lang" "${parallel[@]}")
  kdasr --for set=dev_other,test_other decode "$exp/other/decode/{set}/sat" --part sat --features "$data/mfcc/{set}" \
    --gmm "$exp/sat" "${searched[@]}"
  for system in ensemble:"$exp/members" student:"$student"; do
    kdasr --for set=dev_other,test_other decode "$exp/other/decode/{set}/${system%%:*}" --features "$data/fbank/{set}" \
      --model "${system#*:}" "${searched[@]}"
  done
  kdasr --for system=sat,ensemble,student score "$exp/other/score/{system}" --dev "$exp/other/decode/dev_other/{system}" \
    --test "$exp/other/decode/test_other/{system}" --dev-cuts "$data/manifests/dev_other" \
    --test-cuts "$data/manifests/test_other" "${settings[@]}"
fi

if stage 15 "Report: tables of this run"; then
  kdasr report "$exp/results.md" --exp "$exp"
fi

if stage 16 "Deployment: the student and all that it transcribes with, in one folder"; then
  kdasr bundle "$exp/bundle" --model "$student" --graph "$exp/graph/sat" --lang "$data/lang" --gmm "$exp/sat" \
    --score "$exp/score/student" "${settings[@]}"
fi
finish
