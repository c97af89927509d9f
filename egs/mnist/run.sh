#!/usr/bin/env bash
# MNIST, section 3 of the paper: a jittered, regularised teacher is distilled into a small net that sees plain images.
# Settings are chosen on the last 10,000 training images; then nets train on all 60,000 and are scored on test once.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
path_option corpus "" "folder of the idx files; default: \$KDASR_DATA/mnist, ../shared/data/mnist, download"
path_option conf conf/default.yaml "settings of every stage"
path_option data data "folder of images"
path_option exp exp "folder of models and results"
option seeds 0,1,2 "seeds of teachers and of students"
option temperatures 1,2,2.5,3,4,6,8,12,20,40 "temperatures of the sweep"
option widths 800,300,30 "units a layer of the sweep's students"
option num-jobs 2 "parallel processes"
recipe "$@"

settings=(--conf "$conf" "${set_options[@]}" "${overwrite[@]}")
parallel=("${settings[@]}" --num-jobs "$num_jobs")
first=(--images "$data/train")   # 50,000
dev=(--dev-images "$data/dev")   # 10,000
all=(--images "$data/train_all") # both
students=(--seeds "$seeds" --soft-targets "$exp/soft_targets" "${parallel[@]}")

if stage 0 "Images: train, dev (the last 10,000), train_all and test"; then
  kdasr corpus mnist "$data" ${corpus:+--corpus "$corpus"} "${settings[@]}"
fi

if stage 1 "Teachers: 2 x 1200, dropout, max-norm, jitter"; then
  kdasr train "$exp/teacher" --part teacher "${all[@]}" --seeds "$seeds" "${parallel[@]}"
  kdasr soft-targets "$exp/soft_targets" "${all[@]}" --teacher "$exp/teacher/member-${seeds%%,*}" "${settings[@]}"
fi

if stage 2 "Small nets: 2 x 800, hard labels, no regularisation"; then
  kdasr train "$exp/small" "${all[@]}" --seeds "$seeds" "${parallel[@]}"
fi

if stage 3 "Distilled small nets: plain images, the first teacher's soft targets"; then
  kdasr distill "$exp/distilled" "${all[@]}" "${students[@]}"
fi

if stage 4 "Best without more data: jittered images, soft targets of all teachers as they come"; then
  kdasr distill "$exp/best" --part best "${all[@]}" --teacher "$exp/teacher" --seeds "$seeds" "${parallel[@]}"
fi

if stage 5 "Test errors of teachers, their ensemble, and students"; then
  kdasr --for system=teacher,small,distilled,best accuracy "$exp/accuracy/test/{system}" --images "$data/test" \
    --model "$exp/{system}" "${settings[@]}"
fi

if stage 6 "Development: a teacher of the first 50,000 images, students at every temperature and width"; then
  kdasr train "$exp/dev/teacher" --part teacher "${first[@]}" "${dev[@]}" --seeds "$seeds" "${parallel[@]}"
  kdasr soft-targets "$exp/dev/soft_targets" "${first[@]}" --teacher "$exp/dev/teacher/member-${seeds%%,*}" "${settings[@]}"
  kdasr --for width="$widths" grid "$exp/dev/grid_{width}" --part sweep --kind distill "${first[@]}" "${dev[@]}" \
    --soft-targets "$exp/dev/soft_targets" --vary distill.temperature="$temperatures" --set "dnn.width={width}" "${parallel[@]}"
fi

# The shift is chosen for a net of the first 50,000 images on dev, and taken over by that of all 60,000.
if stage 7 "Transfer sets without 3s, and of 7s and 8s alone; biases corrected"; then
  for part in without_3:3 only_7_and_8:7,8; do
    name=${part%:*} shifted=(--classes "${part#*:}" "${settings[@]}")
    kdasr distill "$exp/dev/$name" --part "$name" "${first[@]}" --soft-targets "$exp/dev/soft_targets" --seeds "$seeds" "${parallel[@]}"
    kdasr distill "$exp/$name" --part "$name" "${all[@]}" "${students[@]}"
    kdasr --for seed="$seeds" bias "$exp/dev/bias/$name/{seed}" --model "$exp/dev/$name/student-{seed}" "${shifted[@]}" "${dev[@]}"
    kdasr --for seed="$seeds" bias "$exp/bias/$name/{seed}" --model "$exp/$name/student-{seed}" "${shifted[@]}" \
      --like "$exp/dev/bias/$name/{seed}" --images "$data/test"
  done
fi

if stage 8 "Report: tables and pictures"; then
  kdasr report "$exp/results.md" --exp "$exp" --pictures --images "$data/train_all" --soft-targets "$exp/soft_targets"
fi
finish
