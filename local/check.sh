#!/usr/bin/env bash
# Lint, types and tests. Sets the environment up by itself (local/setup.sh), and uses no other than .venv or an active one.
#
# Usage: local/check.sh [--fast | --full] [--torch VERSION] [--help]
#
#   (none)           lint, types, unit tests, recipe tests; with CI=true also the core's tests on torch 2.13.0
#   --fast           lint, types and unit tests
#   --full           all of it, and every command of README.md and docs/ with the recipes' own settings: long
#   --torch VERSION  only the core's tests, on that torch and without k2, in .venv-torch-VERSION
#
# Every part runs even when an earlier one failed. Exit status 1 if any did.
set -uo pipefail

CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit 1
root=$PWD
unset PYTHONDONTWRITEBYTECODE # hundreds of processes would compile kdasr, each for itself
newest_torch=2.13.0

die() {
  printf 'check.sh: %s\n' "$1" >&2
  exit 1
}

fast=no full=no torch=''
while (($#)); do
  case $1 in
    --help | -h)
      sed -n '2,/^[^#]/s/^# \{0,1\}//p' local/check.sh
      exit 0
      ;;
    --fast) fast=yes ;;
    --full) full=yes ;;
    --torch)
      (($# > 1)) || die "--torch wants a version such as $newest_torch"
      torch=$2
      shift
      ;;
    *) die "unknown option '$1'; see --help" ;;
  esac
  shift
done
case $fast$full${torch:+yes} in
  *yes*yes*) die "--fast, --full and --torch exclude each other" ;;
esac

logs=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$logs"' EXIT
summary=() failed=()

part() { # part NAME COMMAND...
  local began=$SECONDS status=0 verdict=ok
  printf '\n=== %s\n' "$1"
  "${@:2}" 2>&1 | tee "$logs/${#summary[@]}" || status=$?
  ((status == 0)) || { verdict="FAILED ($status)" && failed+=("$1"); }
  summary+=("$(printf '%-28s %-12s %4d s' "$1" "$verdict" $((SECONDS - began)))")
}

scripts() { # every shell script of the checkout, committed or not
  git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run
}

lint_shell() {
  local -a found
  mapfile -t found < <(scripts)
  ((${#found[@]})) || { printf 'no shell script found\n' && return 1; }
  shellcheck --external-sources --source-path="$root" "${found[@]}" && printf '%d scripts pass\n' "${#found[@]}"
}

# The core's tests of all that computes with torch, where neither k2 nor lhotse is. Modules that test speech skip
# themselves (pytest.importorskip); that each of the core's ran a test is read from pytest's own record.
core=(tests/{data,models,train,distill,specialists} tests/cli/test_{core_verbs,image_verbs,study}.py tests/corpora/test_mnist.py
  tests/report/test_study.py)
core_tests() { # core_tests VERSION
  local venv=$root/.venv-torch-$1
  local/setup.sh --torch "$1" --venv "$venv" || return
  "$venv/bin/python" - <<'PYTHON' || return
import importlib.util
import torch

speech = [name for name in ("k2", "lhotse", "kaldifst", "soundfile") if importlib.util.find_spec(name)]
if speech:
    raise SystemExit(f"this environment is for the core alone, but has {', '.join(speech)}")
print(f"torch {torch.__version__}, no k2, no lhotse")
PYTHON
  PATH=$venv/bin:$PATH OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q -n 2 -m 'not recipe and not slow and not full' --junitxml="$logs/core.xml" \
    "${core[@]}" tests/known_issues || return
  "$venv/bin/python" - "$logs/core.xml" "${core[@]}" <<'PYTHON'
import sys
from pathlib import Path
from xml.etree import ElementTree

ran = {case.get("classname") for case in ElementTree.parse(sys.argv[1]).iter("testcase") if case.find("skipped") is None}
core = [path for given in map(Path, sys.argv[2:]) for path in (given.glob("test_*.py") if given.is_dir() else [given])]
silent = [str(path) for path in core if ".".join(path.with_suffix("").parts) not in {".".join(c.split(".")[:len(path.parts)]) for c in ran}]
if not core or silent:
    raise SystemExit(f"tests of the core that ran no test without k2 and lhotse: {', '.join(silent) or 'all'}")
print(f"{len(core)} test modules of the core ran")
PYTHON
}

if [[ $torch ]]; then
  part "core on torch $torch" core_tests "$torch"
else
  # shellcheck source=path.sh
  . ./path.sh || die "no environment to check in; see the line above"
  if [[ ${CI:-} == true && $fast == no ]]; then
    local/setup.sh --torch "$newest_torch" --venv "$root/.venv-torch-$newest_torch" >/dev/null 2>&1 & # beside the rest
  fi
  part 'ruff check' ruff check .
  part 'ruff format' ruff format --check .
  part 'mypy' mypy
  part 'shellcheck' lint_shell
  # Two tests at a time, of one thread each: threads of torch that share a core wait for each other, long.
  part 'unit tests' env OMP_NUM_THREADS=1 python -m pytest -q -n 2 --durations=12 -m 'not recipe and not slow and not full'
  if [[ $fast == no ]]; then
    part 'recipe and slow tests' env OMP_NUM_THREADS=1 python -m pytest -q -n 2 --durations=12 --dist worksteal -m '(recipe or slow) and not full'
    [[ $full == no ]] || part 'full recipes and documents' env OMP_NUM_THREADS=1 python -m pytest -q -m full
    if [[ ${CI:-} == true ]]; then
      wait # what the set-up had to tell, the part's own call of it tells again
      part "core on torch $newest_torch" core_tests "$newest_torch"
    fi
  fi
fi

# The sum of pytest's closing lines, e.g. "2 failed, 31 passed, 1 skipped in 3.51s".
total() { grep -hE '^(=+ )?[0-9]+ [a-z]+.* in [0-9.]+s' "$logs"/[0-9]* | grep -oE "[0-9]+ $1" | awk '{n += $1} END {print n + 0}'; }

printf '\n'
printf '%s\n' "${summary[@]}"
printf '%d passed, %d failed, %d skipped in %d s%s\n' "$(total passed)" $(($(total failed) + $(total errors?))) \
  "$(total skipped)" "$SECONDS" "$(IFS=, && printf '%s' "${failed[*]:+; parts that failed: ${failed[*]}}")"
((${#failed[@]} == 0))
