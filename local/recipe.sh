# shellcheck shell=bash
# The one helper of every egs/*/run.sh: options, --help, stages, what to call after a failure. A recipe reads
#
#   . "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
#   option num-jobs 2 "parallel processes"               # becomes $num_jobs
#   path_option corpus "" "folder of the corpus"         # a relative value is the caller's, a relative default run.sh's
#   recipe "$@"                                          # reads the options, enters run.sh's folder, sets the environment
#   if stage 0 "Corpus: manifests"; then
#     kdasr corpus an4 --out "$data" "${set_options[@]}" "${overwrite[@]}"
#   fi
#   finish
#
# --stage, --stop-stage, --set, --overwrite and --help are built in. Option values are never evaluated: they are text.

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
  printf 'run.sh: wants bash 4.4 or newer, this is %s\n' "$BASH_VERSION" >&2
  exit 1
fi

recipe_script=${BASH_SOURCE[-1]}
recipe_root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
recipe_built_in=(stage stop-stage set overwrite)
recipe_names=() # option names in the order of their declaration; text and kind of each below
declare -A recipe_help=() recipe_kind=() recipe_default=()
recipe_resume=() # the user's options but for --stage, quoted
recipe_stage='' recipe_first='' recipe_last=''
set_options=() # --set key=value ..., to be passed on
overwrite=()   # --overwrite or nothing, to be passed on
recipe_left_out=''

recipe_refuse() { # one line, exit 1
  printf '%s: %s\n' "${recipe_script##*/}" "$1" >&2
  exit 1
}

option() { # option NAME DEFAULT HELP: --NAME VALUE sets $NAME, with _ for -
  recipe_declare value "$@"
}

path_option() { # the same for a file or folder
  recipe_declare path "$@"
}

recipe_declare() { # recipe_declare KIND NAME DEFAULT HELP
  (($# == 4)) || recipe_refuse "an option wants a name, a default and a help text, got: ${*:2}"
  [[ $2 =~ ^[a-z][a-z0-9]*(-[a-z0-9]+)*$ ]] || recipe_refuse "option name '$2' is not in lower case with hyphens"
  case $2 in
    stage | stop-stage | set | set-options | overwrite | help | recipe | recipe-* | *-proxy | histchars | kdasr-*)
      recipe_refuse "option name '$2' is reserved"
      ;;
  esac
  [[ -z ${recipe_kind[$2]-} ]] || recipe_refuse "option '$2' is declared twice"
  recipe_names+=("$2") recipe_kind[$2]=$1 recipe_default[$2]=$3 recipe_help[$2]=$4
  declare -g +x "${2//-/_}=$3"
}

recipe() { # recipe "$@": from here on a failing command ends the recipe
  local argument caller=$PWD
  recipe_read_stages
  for argument in "$@"; do
    [[ $argument != --help && $argument != -h ]] || { recipe_print_help && exit 0; }
  done
  recipe_parse "$@"
  recipe_check_range

  set -euo pipefail
  shopt -s inherit_errexit
  CDPATH='' cd -- "$(dirname -- "$recipe_script")"
  # shellcheck source=path.sh
  . "$recipe_root/path.sh" || recipe_refuse "no environment to run in; see the line above"
  trap 'recipe_at_exit $?' EXIT
  trap 'exit 130' INT
}

recipe_knows() { # by comparison: as a subscript, '@' would be every name
  local name
  for name in "${recipe_names[@]}" "${recipe_built_in[@]}"; do
    [[ $name != "$1" ]] || return 0
  done
  return 1
}

recipe_parse() {
  local name value
  while (($#)); do
    name=${1#--}
    name=${name%%=*}
    [[ $1 == --* ]] || recipe_refuse "unexpected '$1': options are --name value; see --help"
    recipe_knows "$name" || recipe_refuse "unknown option '--$name' (--help lists them)$(recipe_nearest "$name")"
    if [[ $name == overwrite ]]; then
      [[ $1 == --overwrite ]] || recipe_refuse "--overwrite takes no value"
      # shellcheck disable=SC2034 # the recipe passes it on
      overwrite=(--overwrite) recipe_resume+=(--overwrite)
      shift
      continue
    fi
    if [[ $1 == *=* ]]; then
      value=${1#*=}
    else
      (($# > 1)) || recipe_refuse "--$name wants a value"
      [[ $2 != --* ]] || recipe_refuse "--$name wants a value, got the option '$2' (a value that starts so: --$name=$2)"
      value=$2
      shift
    fi
    shift
    [[ $name == stage ]] || recipe_resume+=("--$name=$(printf '%q' "$value")")
    recipe_take "$name" "$value"
  done
}

recipe_take() { # recipe_take NAME VALUE
  case $1 in
    stage | stop-stage)
      [[ $2 =~ ^[0-9]{1,6}$ ]] || recipe_refuse "--$1 wants the number of a stage, got '$2'"
      if [[ $1 == stage ]]; then recipe_first=$((10#$2)); else recipe_last=$((10#$2)); fi
      ;;
    set)
      [[ $2 =~ ^[A-Za-z_][A-Za-z0-9_.-]*= ]] || recipe_refuse "--set wants key=value, got '$2'"
      set_options+=(--set "$2")
      ;;
    *)
      # shellcheck disable=SC2088 # a tilde that the shell left alone, as in --corpus=~/an4
      if [[ ${recipe_kind[$1]} == path && -n $2 ]]; then
        case $2 in
          '~/'*) set -- "$1" "$HOME/${2#'~/'}" ;;
          /*) ;;
          *) set -- "$1" "$caller/$2" ;;
        esac
      fi
      printf -v "${1//-/_}" '%s' "$2"
      ;;
  esac
}

recipe_nearest() { # suggests the known name with the smallest edit distance, if it is near
  local name best='' distance least=$((${#1} / 2 + 1)) i j cost left diagonal up
  local -a row
  for name in "${recipe_names[@]}" "${recipe_built_in[@]}" help; do
    row=()
    for ((j = 0; j <= ${#name}; j++)); do row[j]=$j; done
    for ((i = 1; i <= ${#1}; i++)); do
      diagonal=${row[0]} left=$i row[0]=$i
      for ((j = 1; j <= ${#name}; j++)); do
        cost=1 up=${row[j]}
        [[ ${1:i-1:1} != "${name:j-1:1}" ]] || cost=0
        distance=$((diagonal + cost))
        ((distance <= up + 1)) || distance=$((up + 1))
        ((distance <= left + 1)) || distance=$((left + 1))
        diagonal=$up left=$distance row[j]=$distance
      done
    done
    ((row[${#name}] >= least)) || { least=${row[${#name}]} && best=$name; }
  done
  [[ -z $best ]] || printf "; did you mean '--%s'?" "$best"
}

recipe_read_stages() { # numbers and titles, from the lines `if stage N "title"; then` of the script
  local line pattern='^[[:space:]]*if stage ([0-9]+) "(.*)"; then'
  recipe_numbers=() recipe_titles=()
  while IFS= read -r line || [[ $line ]]; do
    [[ $line =~ $pattern ]] || continue
    recipe_numbers+=("${BASH_REMATCH[1]}") recipe_titles+=("${BASH_REMATCH[2]}")
  done <"$recipe_script"
  ((${#recipe_numbers[@]})) || recipe_refuse 'no line reads: if stage N "title"; then'
}

recipe_check_range() {
  local number highest=${recipe_numbers[-1]}
  recipe_first=${recipe_first:-${recipe_numbers[0]}} recipe_last=${recipe_last:-$highest}
  for number in "${recipe_numbers[@]}"; do
    ((number < recipe_first || number > recipe_last)) || return 0
  done
  recipe_refuse "no stage from $recipe_first to $recipe_last; there are ${recipe_numbers[0]} to $highest, see --help"
}

recipe_print_help() { # the script's header, its options, its stages
  local name i width=20
  sed -n '2,/^[^#]/{/^# shellcheck/d;s/^# \{0,1\}//p;}' "$recipe_script"
  printf '\nUsage: %s [OPTIONS]\n\nOptions:\n' "$0"
  for name in "${recipe_names[@]}"; do
    printf '  %-*s %s%s\n' "$width" "--$name ${recipe_kind[$name]^^}" "${recipe_help[$name]}" \
      "${recipe_default[$name]:+ (default: ${recipe_default[$name]})}"
  done
  printf '  %-*s %s\n' "$width" '--stage N' "first stage to run (default: ${recipe_numbers[0]})" \
    "$width" '--stop-stage N' "last stage to run (default: ${recipe_numbers[-1]})" \
    "$width" '--set KEY=VALUE' 'another value of a setting, e.g. train.epochs=2; may be repeated' \
    "$width" '--overwrite' 'replace what was made with other settings; the rest is kept' \
    "$width" '--help' 'this text'
  printf '\nA relative PATH is relative to where you are; a default one to the folder of %s.\n\nStages:\n' "${recipe_script##*/}"
  for i in "${!recipe_numbers[@]}"; do
    printf '  %2d  %s\n' "${recipe_numbers[i]}" "${recipe_titles[i]}"
  done
}

# True if the stage is to be run. Only this function stands in the condition of the recipe's `if`: bash switches `set -e`
# off within a condition, and the stage's commands shall have it.
stage() { # stage N TITLE
  recipe_end_stage
  [[ " ${recipe_numbers[*]} " == *" $1 "* ]] || recipe_refuse "stage $1 does not stand in a line: if stage $1 \"title\"; then"
  (($1 >= recipe_first && $1 <= recipe_last)) || return 1
  if [[ $recipe_left_out == *" $1 "* ]]; then
    printf '\n=== stage %d is left out: %s\n' "$1" "$2"
    return 1
  fi
  recipe_stage=$1 recipe_began=$SECONDS
  printf '\n=== stage %d: %s (%(%H:%M:%S)T)\n' "$1" "$2" -1
}

leave_out() { # leave_out N...: stages that a recipe does not run under these options
  recipe_left_out+=" $* "
}

recipe_end_stage() {
  [[ $recipe_stage ]] || return 0
  printf '=== stage %d took %s\n' "$recipe_stage" "$(recipe_duration $((SECONDS - recipe_began)))"
  recipe_stage=''
}

finish() { # says that all is done
  recipe_end_stage
  printf '\nStages %d to %d are done, in %s.\n' "$recipe_first" "$recipe_last" "$(recipe_duration "$SECONDS")"
}

recipe_duration() { # recipe_duration SECONDS
  if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %d s' $(($1 / 60)) $(($1 % 60)); fi
}

recipe_at_exit() { # recipe_at_exit STATUS
  local status=$1 command=$0 running
  running=$(jobs -p)
  if [[ $running ]]; then # a signal ended bash, and none may go on writing alone; SIGTERM comes here with status 0
    ((status)) || status=143
    # shellcheck disable=SC2086 # one word a process
    kill -TERM $running 2>/dev/null || true
    # shellcheck disable=SC2086
    wait $running 2>/dev/null || true
  fi
  if ((status == 0)); then
    recipe_end_stage
    return
  fi
  [[ $recipe_stage ]] || return 0
  [[ $command == */* ]] || command=./$command
  printf '\nstage %d failed (exit %d); resume with: %s\n' "$recipe_stage" "$status" \
    "$(printf '%q' "$command") --stage $recipe_stage${recipe_resume[*]:+ ${recipe_resume[*]}}" >&2
}
