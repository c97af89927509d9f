#!/usr/bin/env bash
# AN4 with CTC: a recipe that is not kdasr's in shape, into which its distillation is plugged. Convolutional nets of word
# pieces, trained on lhotse cuts by lhotse's samplers; students get frame-level soft targets of an ensemble of them,
# attached to the cuts. Decoded with k2's CTC topology, a lexicon of pieces and the bigram of egs/an4.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
path_option corpus "" "folder of AN4 (holds etc/ and wav/); default: \$KDASR_DATA/an4, ../shared/data/an4, download"
path_option conf conf/default.yaml "settings of the Python files beside this one"
path_option data data "folder of manifests, features, pieces, language model"
path_option exp exp "folder of models and results"
option seeds 0-3 "seeds of the teachers, as 0-3"
option student-seeds 0-2 "seeds of the students, as 0-2"
recipe "$@"

numbers() { # numbers 0-3: 0 1 2 3
  local refused="--$1 wants a range such as 0-3, got '$2'"
  [[ $2 =~ ^([0-9]{1,9})-([0-9]{1,9})$ ]] || recipe_refuse "$refused"
  local first=$((10#${BASH_REMATCH[1]})) last=$((10#${BASH_REMATCH[2]}))
  ((first <= last)) || recipe_refuse "$refused"
  seq "$first" "$last"
}
mapfile -t teachers < <(numbers seeds "$seeds")
mapfile -t students < <(numbers student-seeds "$student_seeds")
((${#teachers[@]} && ${#students[@]})) || exit 1
settings=(--data "$data/pieces" --conf "$conf" "${set_options[@]}" "${overwrite[@]}")

if stage 0 "Corpus: manifests of train, dev (8 training speakers) and test"; then
  kdasr corpus an4 "$data/manifests" ${corpus:+--corpus "$corpus"} "${overwrite[@]}"
fi

if stage 1 "Data: filterbanks by lhotse, word pieces by sentencepiece, a bigram of the training transcripts"; then
  python data.py "${settings[@]}" --manifests "$data/manifests"
  kdasr lm "$data/bigram" --cuts "$data/manifests/train" "${overwrite[@]}"
fi

if stage 2 "Timing: a net that all others start from, which gives each piece its frame"; then
  python train.py "$exp/start" --seed 0 "${settings[@]}"
fi

if stage 3 "Teachers: CTC of the transcripts alone; they are the baselines too"; then
  for seed in "${teachers[@]}"; do
    python train.py "$exp/hard/seed-$seed" --seed "$seed" --start "$exp/start" "${settings[@]}"
  done
fi

if stage 4 "Soft targets: the teachers' mean, stored by utterance and attached to the training cuts"; then
  python soft_targets.py "$exp/soft_targets" "${teachers[@]/#/--model=$exp/hard/seed-}" "${settings[@]}"
  kdasr attach "$exp/attached" --soft-targets "$exp/soft_targets" --cuts "$data/pieces/train.jsonl.gz" "${overwrite[@]}"
fi

if stage 5 "Students: CTC and soft targets"; then
  for seed in "${students[@]}"; do
    python train.py "$exp/soft/seed-$seed" --seed "$seed" --start "$exp/start" --attached "$exp/attached" "${settings[@]}"
  done
fi

decode() { # decode SYSTEM MODEL...
  python decode.py "$exp/decode/$1" "${@:2}" --lexicon "$data/manifests/lexicon/lexicon.txt" --lm "$data/bigram" "${settings[@]}"
}

if stage 6 "Decoding and scoring: teachers, their ensemble, students"; then
  for seed in "${teachers[@]}"; do decode "hard/seed-$seed" --model "$exp/hard/seed-$seed"; done
  decode ensemble "${teachers[@]/#/--model=$exp/hard/seed-}"
  for seed in "${students[@]}"; do decode "soft/seed-$seed" --model "$exp/soft/seed-$seed"; done
fi

if stage 7 "Table: word errors of all"; then
  python table.py "$exp/results.md" --ensemble "$exp/decode/ensemble" \
    "${teachers[@]/#/--hard=$exp/decode/hard/seed-}" "${students[@]/#/--soft=$exp/decode/soft/seed-}"
fi
finish
