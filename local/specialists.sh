#!/usr/bin/env bash
# The specialist stage that speech recipes share (section 5 of the paper). A recipe sources it after recipe.sh, and calls
# it with its arrays train, dev, settings, parallel and scored, and $data and $exp, set.

# shellcheck disable=SC2154 # the recipe's variables
train_specialists() { # train_specialists SEED: of member-SEED, into a folder of its own; decoded and scored as all systems
  local generalist=$exp/members/member-$1 at=$exp/specialists/member-$1 system
  local own=(--model "$generalist" "${train[@]}") student=$at/student/student-$1
  local labelled=(--features "$data/fbank/{set}" --ali "$exp/ali/sat/{set}" "${settings[@]}")
  local searched=(--features "$data/fbank/{set}" --graph "$exp/graph/sat" --lang "$data/lang" "${parallel[@]}")
  kdasr subsets "$at/subsets" "${own[@]}" "${settings[@]}"
  kdasr subsets-show "$at/subsets" --names 8 --picture "$at/confusion.png"
  kdasr specialists "$at/nets" "${own[@]}" --subsets "$at/subsets" "${parallel[@]}" --set "specialist.seed=$1"
  kdasr joint "$at/joint" "${own[@]}" --specialists "$at/nets" "${settings[@]}"
  kdasr train "$at/control" --part control --start "$generalist" "${train[@]}" "${dev[@]}" --seeds "$1" "${settings[@]}"
  kdasr distill "$at/student" --part joint_student --teacher "$at/joint" --start "$generalist" "${train[@]}" "${dev[@]}" \
    --seeds "$1" "${settings[@]}"
  kdasr --for set=dev,test gain "$at/gain/{set}" --model "$at/joint" "${labelled[@]}"
  for system in joint:"$at/joint" control:"$at/control" student:"$student"; do
    kdasr --for set=dev,test accuracy "$at/accuracy/{set}/${system%%:*}" --model "${system#*:}" "${labelled[@]}"
    kdasr --for set=dev,test decode "$at/decode/{set}/${system%%:*}" --model "${system#*:}" "${searched[@]}"
    kdasr score "$at/score/${system%%:*}" --dev "$at/decode/dev/${system%%:*}" --test "$at/decode/test/${system%%:*}" \
      "${scored[@]}"
  done
}

expect_seeds() { # expect_seeds LIST: of the members that get specialists; none is fine
  [[ $1 =~ ^([0-9]+(,[0-9]+)*)?$ ]] || recipe_refuse "--specialists wants seeds of members joined by commas, as 0,1,2; got '$1'"
}
