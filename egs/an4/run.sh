#!/usr/bin/env bash
# AN4 (CMU Census): names, addresses, numbers and spelled letters; 84 speakers, 0.8 hours.
# An ensemble of DNNs is distilled into one; settings are chosen on 8 training speakers, the test set is only scored.
# The last stages train GMMs on all 948 utterances, of monophones and of tied states, for the comparison with Kaldi.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
path_option corpus "" "folder of AN4 (holds etc/ and wav/); default: \$KDASR_DATA/an4, ../shared/data/an4, download"
path_option conf conf/default.yaml "settings of every stage"
path_option data data "folder of manifests, features, language"
path_option exp exp "folder of models and results"
option seeds 0-4 "seeds of the ensemble's members"
option student-seed 0 "seed of the student"
option num-jobs 2 "parallel processes"
recipe "$@"

settings=(--conf "$conf" "${set_options[@]}" "${overwrite[@]}")
parallel=("${settings[@]}" --num-jobs "$num_jobs")
train=(--features "$data/fbank/train" --ali "$exp/ali/train")
dev=(--dev-features "$data/fbank/dev" --dev-ali "$exp/ali/dev")
scored=(--dev-cuts "$data/manifests/dev" --test-cuts "$data/manifests/test")

if stage 0 "Corpus: manifests of train, dev (8 training speakers), train_all and test"; then
  kdasr corpus an4 "$data/manifests" ${corpus:+--corpus "$corpus"} "${parallel[@]}"
fi

if stage 1 "Features: filterbanks for the DNN, cepstra for the GMM"; then
  kdasr --for set=train,dev,train_all,test --for type=fbank,mfcc features "$data/{type}/{set}" --type "{type}" \
    --cuts "$data/manifests/{set}" "${parallel[@]}"
fi

if stage 2 "Language: lexicon, topology, bigram of the training transcripts, the corpus's own unigram"; then
  kdasr lang "$data/lang" --lexicon "$data/manifests/lexicon/lexicon.txt" \
    --cuts "$data/manifests/train_all" --cuts "$data/manifests/test" "${settings[@]}"
  kdasr lm "$data/lm/train" --cuts "$data/manifests/train" "${settings[@]}"
  kdasr lm "$data/lm/train_all" --cuts "$data/manifests/train_all" "${settings[@]}"
  kdasr lm "$data/lm/ug" --arpa "$data/manifests/lexicon/an4.ug.arpa" "${settings[@]}"
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

if stage 6 "Distillation: one net of the members' size, taught by the ensemble as training goes"; then
  kdasr distill "$exp/student" "${train[@]}" "${dev[@]}" --teacher "$exp/members" --seeds "$student_seed" "${settings[@]}"
fi

if stage 7 "Frame accuracy of members, ensemble and student"; then
  labelled=(--features "$data/fbank/{set}" --ali "$exp/ali/{set}" "${settings[@]}")
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/members" "${labelled[@]}" --model "$exp/members"
  kdasr --for set=dev,test accuracy "$exp/accuracy/{set}/student" "${labelled[@]}" \
    --model "$exp/student/student-$student_seed"
fi

if stage 8 "Decoding and scoring: GMM, members, ensemble, student"; then
  searched=(--graph "$exp/graph" --lang "$data/lang")
  kdasr --for set=dev,test decode "$exp/decode/{set}/gmm" --features "$data/mfcc/{set}" "${searched[@]}" \
    --gmm "$exp/mono" "${settings[@]}"
  kdasr --for set=dev,test decode "$exp/decode/{set}/members" --features "$data/fbank/{set}" "${searched[@]}" \
    --model "$exp/members" --each "${parallel[@]}"
  kdasr --for set=dev,test decode "$exp/decode/{set}/student" --features "$data/fbank/{set}" "${searched[@]}" \
    --model "$exp/student/student-$student_seed" "${settings[@]}"
  kdasr --for system=gmm,student score "$exp/score/{system}" --dev "$exp/decode/dev/{system}" \
    --test "$exp/decode/test/{system}" "${scored[@]}" "${settings[@]}"
  kdasr score "$exp/score/members" --each --dev "$exp/decode/dev/members" --test "$exp/decode/test/members" \
    "${scored[@]}" "${settings[@]}"
fi

if stage 9 "Comparison with Kaldi: GMM of all 948 utterances, two language models"; then
  kdasr mono "$exp/all/mono" --features "$data/mfcc/train_all" --cuts "$data/manifests/train_all" --lang "$data/lang" "${parallel[@]}"
  all=(--lang "$data/lang" "${settings[@]}")
  kdasr --for lm=train_all,ug graph "$exp/all/graph_{lm}" --lm "$data/lm/{lm}" --model "$exp/all/mono" "${all[@]}"
  kdasr --for lm=train_all,ug decode "$exp/all/decode/{lm}" --gmm "$exp/all/mono" --features "$data/mfcc/test" \
    --graph "$exp/all/graph_{lm}" "${all[@]}"
  kdasr graph "$exp/graph_ug" --lang "$data/lang" --lm "$data/lm/ug" --model "$exp/mono" "${settings[@]}"
  kdasr decode "$exp/decode/dev/gmm_ug" --gmm "$exp/mono" --features "$data/mfcc/dev" \
    --graph "$exp/graph_ug" --lang "$data/lang" "${settings[@]}"
  kdasr score "$exp/all/score/train_all" --dev "$exp/decode/dev/gmm" --test "$exp/all/decode/train_all" "${scored[@]}" "${settings[@]}"
  kdasr score "$exp/all/score/ug" --dev "$exp/decode/dev/gmm_ug" --test "$exp/all/decode/ug" "${scored[@]}" "${settings[@]}"
fi

if stage 10 "Tied states: triphone GMMs, then LDA and MLLT, then fMLLR; of train for dev, of all 948 for test"; then
  for set in train:"$exp/mono" train_all:"$exp/all/mono"; do
    before=${set#*:} set=${set%%:*}
    spoken=(--features "$data/mfcc/$set" --cuts "$data/manifests/$set" --lang "$data/lang" "${parallel[@]}")
    for gmm in tri lda_mllt sat; do
      kdasr align "$exp/tied/$set/ali/$gmm" --model "$before" "${spoken[@]}"
      kdasr tri "$exp/tied/$set/$gmm" --part "$gmm" --model "$before" --ali "$exp/tied/$set/ali/$gmm" "${spoken[@]}"
      before=$exp/tied/$set/$gmm
    done
    kdasr lm "$data/lm/trigram_$set" --cuts "$data/manifests/$set" "${set_options[@]}" --set lm.order=3 "${overwrite[@]}"
  done
  gmms=(--for gmm="tri,lda_mllt,sat")
  for lm in bigram:train:train_all trigram:trigram_train:trigram_train_all ug:ug:ug; do
    IFS=: read -r lm dev_lm test_lm <<<"$lm"
    for set in dev:train:"$dev_lm" test:train_all:"$test_lm"; do
      IFS=: read -r set trained lm_folder <<<"$set"
      place=$exp/tied/$trained own=(--lang "$data/lang" "${settings[@]}")
      kdasr "${gmms[@]}" graph "$place/graph/{gmm}_$lm" --lm "$data/lm/$lm_folder" --model "$place/{gmm}" "${own[@]}"
      kdasr "${gmms[@]}" decode "$exp/tied/decode/$set/{gmm}_$lm" --part "{gmm}" --gmm "$place/{gmm}" \
        --features "$data/mfcc/$set" --graph "$place/graph/{gmm}_$lm" "${own[@]}"
    done
    kdasr "${gmms[@]}" score "$exp/all/score/{gmm}_$lm" --dev "$exp/tied/decode/dev/{gmm}_$lm" \
      --test "$exp/tied/decode/test/{gmm}_$lm" "${scored[@]}" "${settings[@]}"
  done
fi

if stage 11 "Report: tables of this run"; then
  kdasr report "$exp/results.md" --exp "$exp"
fi
finish
