#!/usr/bin/env bash
# MNIST, section 3 of the paper: a jittered, regularised teacher is distilled into a small net that sees plain images.
# Settings are chosen on the last 10,000 training images; then nets train on all 60,000 and are scored on test once.
# conf/quick.yaml: teacher, small and distilled net of one seed, in few epochs.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
path_option corpus "" "folder of the idx files; default: \$KDASR_DATA/mnist, ../shared/data/mnist, download"
path_option conf conf/default.yaml "settings of every stage"
path_option data data "folder of images"
path_option exp "" "folder of models and results; default: exp/NAME for NAME.yaml of --conf"
option seeds "" "seeds of teachers and of students; default: 0,1,2, or 0 for conf/quick.yaml"
option dev-seeds 0 "seeds of the development teachers; their students have the first"
option sweep-seeds 0,1,2 "seeds of the sweep's students"
option temperatures 1,2,2.5,3,4,6,8,12,20,40 "temperatures of the sweep"
option widths 800,300,30 "units a layer of the sweep's students"
option num-jobs 2 "parallel processes"
option scheduler "" "address of a dask scheduler, whose workers are the processes; default: this machine's own"
recipe "$@"

name=${conf##*/} name=${name%.yaml} systems=teacher,small,distilled
exp=${exp:-exp/$name}
if [[ $name == quick ]]; then
  seeds=${seeds:-0}
  leave_out 1 2 6 7 9 10
else
  seeds=${seeds:-0,1,2} systems+=,ensemble_student,best_teacher,best
fi
for list in "$seeds" "$dev_seeds" "$sweep_seeds"; do
  [[ $list =~ ^[0-9]+(,[0-9]+)*$ ]] || recipe_refuse "seeds are numbers joined by commas here, as 0,1,2; got '$list'"
done

settings=(--conf "$conf" "${set_options[@]}" "${overwrite[@]}")
parallel=("${settings[@]}" --num-jobs "$num_jobs" ${scheduler:+--scheduler "$scheduler"})
all=(--images "$data/train_all")
first=(--images "$data/train") dev=(--dev-images "$data/dev") # of 60,000 images 50,000 and 10,000
one_dev=("${first[@]}" "${dev[@]}" --seeds "${dev_seeds%%,*}" "${parallel[@]}")
students=("${all[@]}" --seeds "$seeds" "${parallel[@]}")

if stage 0 "Images: train, dev (the last 10,000), train_all and test"; then
  kdasr corpus mnist "$data" ${corpus:+--corpus "$corpus"} "${settings[@]}"
fi

if stage 1 "Development: teachers, small, distilled and best net of the first 50,000 images, scored on dev"; then
  kdasr train "$exp/dev/teacher" --part teacher "${first[@]}" "${dev[@]}" --seeds "$dev_seeds" "${parallel[@]}"
  kdasr soft-targets "$exp/dev/soft_targets" "${first[@]}" --teacher "$exp/dev/teacher/member-${dev_seeds%%,*}" "${settings[@]}"
  kdasr train "$exp/dev/best_teacher" --part best_teacher "${first[@]}" "${dev[@]}" --seeds "$dev_seeds" "${parallel[@]}"
  kdasr train "$exp/dev/small" "${one_dev[@]}"
  kdasr distill "$exp/dev/distilled" --soft-targets "$exp/dev/soft_targets" "${one_dev[@]}"
  kdasr distill "$exp/dev/best" --part best --teacher "$exp/dev/best_teacher" "${one_dev[@]}"
fi

if stage 2 "Development: students at every temperature and width"; then
  kdasr --for width="$widths" study "$exp/dev/grid_{width}" --part sweep "${first[@]}" "${dev[@]}" \
    --soft-targets "$exp/dev/soft_targets" --set "study.student={distill.temperature: [$temperatures], seed: [$sweep_seeds]}" \
    --set "dnn.width={width}" "${parallel[@]}"
fi

if stage 3 "Teachers: 2 x 1200, dropout, max-norm, jitter; soft targets of the first one"; then
  kdasr train "$exp/teacher" --part teacher "${students[@]}"
  kdasr soft-targets "$exp/soft_targets" "${all[@]}" --teacher "$exp/teacher/member-${seeds%%,*}" "${settings[@]}"
fi

if stage 4 "Small nets: 2 x 800, hard labels, no regularisation"; then
  kdasr train "$exp/small" "${students[@]}"
fi

if stage 5 "Distilled small nets: plain images, the first teacher's soft targets"; then
  kdasr distill "$exp/distilled" --soft-targets "$exp/soft_targets" "${students[@]}"
fi

if stage 6 "The ensemble's students: plain images, soft targets of all teachers"; then
  kdasr soft-targets "$exp/ensemble_soft_targets" "${all[@]}" --teacher "$exp/teacher" "${settings[@]}"
  kdasr distill "$exp/ensemble_student" --soft-targets "$exp/ensemble_soft_targets" "${students[@]}"
fi

if stage 7 "Best without more data: images moved, turned, scaled and distorted, for teachers too; soft targets of all as they come"; then
  kdasr train "$exp/best_teacher" --part best_teacher "${students[@]}"
  kdasr distill "$exp/best" --part best --teacher "$exp/best_teacher" "${students[@]}"
fi

if stage 8 "Test errors of teachers, their ensemble, and students"; then
  kdasr --for system="$systems" accuracy "$exp/accuracy/test/{system}" --images "$data/test" \
    --model "$exp/{system}" "${settings[@]}"
fi

# The shift is chosen for a net of the first 50,000 images on dev, and taken over by that of all 60,000.
if stage 9 "Transfer sets without 3s, and of 7s and 8s alone; biases corrected"; then
  for part in without_3:3 only_7_and_8:7,8; do
    name=${part%:*} shifted=(--classes "${part#*:}" "${settings[@]}")
    kdasr distill "$exp/dev/$name" --part "$name" "${first[@]}" --soft-targets "$exp/dev/soft_targets" --seeds "$seeds" "${parallel[@]}"
    kdasr distill "$exp/$name" --part "$name" --soft-targets "$exp/soft_targets" "${students[@]}"
    kdasr --for seed="$seeds" bias "$exp/dev/bias/$name/{seed}" --model "$exp/dev/$name/student-{seed}" "${shifted[@]}" "${dev[@]}"
    kdasr --for seed="$seeds" bias "$exp/bias/$name/{seed}" --model "$exp/$name/student-{seed}" "${shifted[@]}" \
      --like "$exp/dev/bias/$name/{seed}" --images "$data/test"
  done
fi

# The small net is the generalist; specialists and control see jittered images, as it did not.
if stage 10 "Specialists of each small net (section 5), one net distilled from all; a control trained as long"; then
  for seed in ${seeds//,/ }; do
    small=$exp/small/member-$seed at=$exp/specialists/member-$seed own=("${all[@]}" "${parallel[@]}")
    kdasr subsets "$at/subsets" --model "$small" "${all[@]}" "${settings[@]}"
    kdasr subsets-show "$at/subsets" --picture "$at/confusion.png"
    kdasr specialists "$at/nets" --model "$small" --subsets "$at/subsets" "${own[@]}" --set "specialist.seed=$seed"
    kdasr joint "$at/joint" --model "$small" --specialists "$at/nets" "${all[@]}" "${settings[@]}"
    kdasr train "$at/control" --part control --start "$small" --seeds "$seed" "${own[@]}"
    kdasr distill "$at/student" --part joint_student --teacher "$at/joint" --seeds "$seed" "${own[@]}"
    kdasr gain "$at/gain/test" --model "$at/joint" --images "$data/test" "${settings[@]}"
    kdasr --for system=control,student accuracy "$at/accuracy/test/{system}" --model "$at/{system}" --images "$data/test" \
      "${settings[@]}"
  done
fi

if stage 11 "Report: tables, pictures, and all that later reports read of this run in one file"; then
  kdasr report "$exp/results.md" --exp "$exp" --keep "$exp/results.json" --pictures "$exp" \
    --images "$data/train_all" --soft-targets "$exp/soft_targets"
fi
finish
