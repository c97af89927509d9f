# shellcheck shell=bash
# Sourced by every recipe: puts on PATH an environment whose kdasr is this checkout. An active one is taken, else .venv,
# which local/setup.sh makes or mends first where it must.

KDASR_ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P) || return 1
export KDASR_ROOT

# Prints the folder of the active python and its `kdasr`, if that kdasr is this checkout (looked for from /: no kdasr lies there).
kdasr_active_environment() {
  (cd / && python - "$KDASR_ROOT") <<'PYTHON' 2>/dev/null
import importlib.util, os, sys

spec, folder = importlib.util.find_spec("kdasr"), os.path.dirname(sys.executable)
ours = spec and spec.origin and os.path.realpath(spec.origin) == os.path.join(sys.argv[1], "kdasr", "__init__.py")
if not (ours and importlib.util.find_spec("torch") and os.access(os.path.join(folder, "kdasr"), os.X_OK)):
    sys.exit(1)
print(folder)
PYTHON
}

# .venv goes through setup.sh even when it is active: pyproject.toml may have changed since.
if kdasr_bin=$(kdasr_active_environment) && [[ $kdasr_bin != "$KDASR_ROOT/.venv/bin" ]]; then
  :
elif "$KDASR_ROOT/local/setup.sh" --quiet >&2; then
  kdasr_bin=$KDASR_ROOT/.venv/bin
  export VIRTUAL_ENV=$KDASR_ROOT/.venv
else
  unset kdasr_bin
  return 1
fi
[[ $PATH == "$kdasr_bin":* ]] || PATH=$kdasr_bin:$PATH
unset kdasr_bin
unset -f kdasr_active_environment
export PATH
export LC_ALL=C           # sorting that does not hang on the user's language; Python reads and writes UTF-8 under it
export PYTHONUNBUFFERED=1 # logs in the order of events, also through a pipe
