#!/usr/bin/env bash
# yesno (OpenSLR 1): one speaker says yes or no eight times, in Hebrew, 8 kHz; 31 recordings to train on, 29 to test.
# The smallest recipe: it shows that all stages run; its test set says nothing about systems.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
path_option corpus "" "folder of the recordings; default: \$KDASR_DATA/yesno, ../shared/data/yesno, download"
path_option conf conf/default.yaml "settings of every stage"
path_option data data "folder of manifests, features, language"
path_option exp exp "folder of models and results"
option seeds 0-2 "seeds of the ensemble's members"
option student-seed 0 "seed of the student"
option num-jobs 2 "parallel processes"
option scheduler "" "address of a dask scheduler, whose workers are the processes; default: this machine's own"
recipe "$@"

settings=(--conf "$conf" "${set_options[@]}" "${overwrite[@]}")
parallel=("${settings[@]}" --num-jobs "$num_jobs" ${scheduler:+--scheduler "$scheduler"})
train=(--features "$data/fbank/train" --ali "$exp/ali/train")
dev=(--dev-features "$data/fbank/dev" --dev-ali "$exp/ali/dev")
scored=(--dev-cuts "$data/manifests/dev" --test-cuts "$data/manifests/test")

if stage 0 "Corpus: manifests of train, dev (a part of the 31) and test"; then
  kdasr corpus yesno "$data/manifests" ${corpus:+--corpus "$corpus"} "${parallel[@]}"
fi

if stage 1 "Features: filterbanks for the DNN, cepstra for the GMM"; then
  kdasr --for set=train,dev,test --for type=fbank,mfcc features "$data/{type}/{set}" --type "{type}" \
    --cuts "$data/manifests/{set}" "${parallel[@]}"
fi

if stage 2 "Language: lexicon, topology, n-gram of the training transcripts"; then
  kdasr lang "$data/lang" --lexicon "$data/manifests/lexicon/lexicon.txt" --cuts "$data/manifests/train" "${settings[@]}"
  kdasr lm "$data/lm/train" --cuts "$data/manifests/train" "${settings[@]}"
fi

if stage 3 "Monophone GMM from a flat start, and its decoding graph"; then
  kdasr mono "$exp/mono" --features "$data/mfcc/train" --cuts "$data/manifests/train" --lang "$data/lang" "${parallel[@]}"
  kdasr graph "$exp/graph" --lang "$data/lang" --lm "$data/lm/train" --model "$exp/mono" "${settings[@]}"
fi

if stage 4 "Alignments: a transition id for every frame"; then
  kdasr --for set=train,dev,test align "$exp/ali/{set}" --model "$exp/mono" --features "$data/mfcc/{set}" \
    --cuts "$data/manifests/{set}" --lang "$data/lang" "${parallel[@]}"
fi

if stage 5 "Ensemble: members that differ by seed alone (the first is the baseline)"; then
  kdasr train "$exp/members" "${train[@]}" "${dev[@]}" --seeds "$seeds" "${parallel[@]}"
fi

if stage 6 "Soft targets of the ensemble for every training frame"; then
  kdasr soft-targets "$exp/soft_targets" "${train[@]}" --teacher "$exp/members" "${settings[@]}"
fi

if stage 7 "Distillation: one net of the members' size"; then
  kdasr distill "$exp/student" "${train[@]}" "${dev[@]}" \
    --soft-targets "$exp/soft_targets" --seeds "$student_seed" "${settings[@]}"
fi

if stage 8 "Frame accuracy of members, ensemble and student"; then
  labelled=(--features "$data/fbank/{set}" --ali "$exp/ali/{set}" "${settings[@]}")
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/members" "${labelled[@]}" --model "$exp/members"
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/student" "${labelled[@]}" \
    --model "$exp/student/student-$student_seed"
fi

if stage 9 "Decoding and scoring: GMM, members, ensemble, student"; then
  searched=(--graph "$exp/graph" --lang "$data/lang")
  kdasr --for set=dev,test decode "$exp/decode/{set}/mono" --features "$data/mfcc/{set}" "${searched[@]}" \
    --gmm "$exp/mono" "${settings[@]}"
  kdasr --for set=dev,test decode "$exp/decode/{set}/members" --features "$data/fbank/{set}" "${searched[@]}" \
    --model "$exp/members" --each "${parallel[@]}"
  kdasr --for set=dev,test decode "$exp/decode/{set}/student" --features "$data/fbank/{set}" "${searched[@]}" \
    --model "$exp/student/student-$student_seed" "${settings[@]}"
  kdasr --for system=mono,student score "$exp/score/{system}" --dev "$exp/decode/dev/{system}" \
    --test "$exp/decode/test/{system}" "${scored[@]}" "${settings[@]}"
  kdasr score "$exp/score/members" --each --dev "$exp/decode/dev/members" --test "$exp/decode/test/members" \
    "${scored[@]}" "${settings[@]}"
fi

if stage 10 "Report: tables of this run"; then
  kdasr report "$exp/results.md" --exp "$exp"
fi

if stage 11 "Deployment: the student and all that it transcribes with, in one folder"; then
  kdasr bundle "$exp/bundle" --model "$exp/student/student-$student_seed" --graph "$exp/graph" --lang "$data/lang" --gmm "$exp/mono" \
    --score "$exp/score/student" "${settings[@]}"
fi
finish
