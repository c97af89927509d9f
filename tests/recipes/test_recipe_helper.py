"""local/recipe.sh on little recipes: options, help, stages, and what stands on the screen after a failure."""

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = """#!/usr/bin/env bash
# Toy: a recipe of three stages.
. "$(dirname "${BASH_SOURCE[0]}")/../../local/recipe.sh"
path_option corpus "" "folder of the corpus"
path_option conf conf/default.yaml "settings of every stage"
option num-jobs 2 "parallel processes"
"""
SHOW = """recipe "$@"
show() { printf '<%s>' "$corpus" "$conf" "$num_jobs" "${set_options[@]}" "${overwrite[@]}"; printf '\\n'; }
if stage 0 "Corpus: manifests"; then
  show
fi
if stage 1 "Features"; then
  echo one
fi
if stage 7 "Score"; then
  echo seven
fi
finish
"""


def heed_interrupts() -> None:
    """A check that was started in the background has SIGINT ignored, and a shell cannot trap what it inherits so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Toy:
    """A checkout with one recipe, and an active environment whose python says that kdasr is this checkout."""

    def __init__(self, folder: Path) -> None:
        self.root, self.recipe, self.caller = (
            folder / "check out",
            folder / "check out/egs/toy",
            folder / "caller",
        )
        for made in (self.recipe, self.root / "local", self.caller, folder / "bin"):
            made.mkdir(parents=True)
        shutil.copy(ROOT / "path.sh", self.root)
        shutil.copy(ROOT / "local/recipe.sh", self.root / "local")
        python = folder / "bin/python"
        python.write_text(f"#!/bin/sh\necho {shlex.quote(str(folder / 'bin'))}\n")
        python.chmod(0o755)
        self.environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "HOME": str(folder)}

    def write(self, body: str, header: str = HEADER) -> None:
        (self.recipe / "run.sh").write_text(header + body)
        (self.recipe / "run.sh").chmod(0o755)

    def command(self) -> str:
        return os.path.relpath(self.recipe / "run.sh", self.caller)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.command(), *arguments],
            cwd=self.caller,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed_interrupts,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=20)
        return process.returncode, out, err


@pytest.fixture
def toy(tmp_path) -> Toy:
    made = Toy(tmp_path)
    made.write(SHOW)
    return made


def shown(out: str) -> list[str]:
    line = next(line for line in out.splitlines() if line.startswith("<"))
    return line[1:-1].split("><")


def test_all_stages_run_in_the_recipes_folder_with_the_defaults(toy):
    status, out, err = toy.run()
    assert (status, err) == (0, "")
    assert shown(out) == ["", "conf/default.yaml", "2"]
    assert [line.split(" (")[0] for line in out.splitlines() if ": " in line and line.startswith("===")] == [
        "=== stage 0: Corpus: manifests",
        "=== stage 1: Features",
        "=== stage 7: Score",
    ]
    assert out.count(" took 0 s") + out.count(" took 1 s") == 3
    assert "Stages 0 to 7 are done" in out


def test_stage_and_stop_stage_bound_the_run(toy):
    _, out, _ = toy.run("--stage=1", "--stop-stage", "3")
    assert "one" in out and "stage 0:" not in out and "seven" not in out
    assert "08" not in toy.run("--stage", "01", "--stop-stage", "08")[2]


def test_a_stage_that_is_left_out_says_so_and_does_not_run(toy):
    toy.write(SHOW.replace("if stage 0", "leave_out 1\nleave_out 10\nif stage 0", 1))
    status, out, err = toy.run()
    assert (status, err) == (0, "") and "\none\n" not in out and "\nseven\n" in out
    assert "=== stage 1 is left out: Features\n" in out and out.count(" took ") == 2


def test_both_ways_to_write_an_option(toy):
    assert shown(toy.run("--num-jobs", "8")[1])[2] == "8"
    assert shown(toy.run("--num-jobs=8")[1])[2] == "8"
    assert shown(toy.run("--num-jobs=")[1])[2] == ""


def test_values_are_text_and_never_run(toy):
    for value in (
        "$(touch harm)",
        "`touch harm`",
        "; touch harm",
        "a b  c",
        "*",
        "'\"",
        "a=b",
        "x[$(touch harm)]",
    ):
        assert shown(toy.run("--num-jobs", value)[1])[2] == value
        assert toy.run(f"--{value}", "1")[0] == 1
    assert not list(toy.root.parent.rglob("harm"))


def test_relative_paths_are_the_callers(toy):
    out = toy.run("--corpus", "my an4", "--conf=/etc/x.yaml")[1]
    assert shown(out)[:2] == [f"{toy.caller}/my an4", "/etc/x.yaml"]
    assert shown(toy.run("--corpus=~/an4")[1])[0] == f"{toy.caller.parent}/an4"


def test_set_and_overwrite_are_collected_to_be_passed_on(toy):
    out = toy.run("--set", "train.epochs=2", "--overwrite", "--set=model.width=64 x")[1]
    assert shown(out)[3:] == ["--set", "train.epochs=2", "--set", "model.width=64 x", "--overwrite"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-jobs"], "--num-jobs wants a value"),
        (["--num-jobs", "--stage", "1"], "--num-jobs wants a value, got the option '--stage'"),
        (["--nmu-jobs", "3"], "unknown option '--nmu-jobs' (--help lists them); did you mean '--num-jobs'?"),
        (["--stgae=3"], "did you mean '--stage'?"),
        (["--HOME", "x"], "unknown option '--HOME'"),
        (["--PATH=x"], "unknown option '--PATH'"),
        (["--@", "x"], "unknown option '--@'"),
        (["--"], "unknown option '--'"),
        (["corpus"], "unexpected 'corpus'"),
        (["-n", "3"], "unexpected '-n'"),
        ([""], "unexpected ''"),
        (["--stage", "two"], "--stage wants the number of a stage, got 'two'"),
        (["--stage=-1"], "--stage wants the number of a stage, got '-1'"),
        (["--stop-stage", "1+1"], "--stop-stage wants the number of a stage"),
        (["--stage", "5", "--stop-stage", "1"], "no stage from 5 to 1; there are 0 to 7"),
        (["--stage", "3", "--stop-stage", "5"], "no stage from 3 to 5"),
        (["--stage", "8"], "no stage from 8 to 7"),
        (["--set", "train.epochs"], "--set wants key=value, got 'train.epochs'"),
        (["--overwrite=yes"], "--overwrite takes no value"),
    ],
)
def test_a_wrong_call_gives_one_line_and_runs_nothing(toy, arguments, message):
    status, out, err = toy.run(*arguments)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("run.sh: ") and message in err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('option HOME x "h"', "not in lower case"),
        ('option num_jobs x "h"', "not in lower case"),
        ('option stage x "h"', "'stage' is reserved"),
        ('option recipe-root x "h"', "is reserved"),
        ('option http-proxy x "h"', "is reserved"),
        ('option conf x "h"', "'conf' is declared twice"),
        ("option only-name", "wants a name, a default and a help text"),
    ],
)
def test_a_wrong_declaration_is_refused(toy, line, message):
    toy.write(f"{line}\n{SHOW}")
    status, _, err = toy.run()
    assert status == 1 and err.count("\n") == 1 and message in err


def test_a_declared_name_of_the_users_environment_does_not_leak_in_or_out(toy):
    toy.write(SHOW.replace("echo one", "env | grep ^corpus= || echo clean"))
    toy.environment["corpus"] = "theirs"
    out = toy.run()[1]
    assert shown(out)[0] == "" and "clean" in out


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--stage", "99", "--help"]])
def test_help_needs_no_environment_and_tells_header_options_and_stages(toy, arguments):
    (toy.root / "path.sh").write_text("touch was-set-up; exit 9\n")
    status, out, err = toy.run(*arguments)
    assert (status, err) == (0, "") and not list(toy.root.rglob("was-set-up"))
    assert out.startswith("Toy: a recipe of three stages.\n")
    for line in (
        "--num-jobs VALUE     parallel processes (default: 2)",
        "--corpus PATH        folder of the corpus\n",
    ):
        assert line in out
    assert "Stages:\n   0  Corpus: manifests\n   1  Features\n   7  Score\n" in out
    for option in ("--stage N", "--stop-stage N", "--set KEY=VALUE", "--overwrite", "--help"):
        assert option in out


FAILURES = {
    "a command": ("(exit 3); touch after", 3),
    "a pipeline": ("(exit 4) | cat; touch after", 4),
    "a function": ("f() { (exit 5); touch after; }; f", 5),
    "a command substitution": ('x=$(false; echo y); touch after "$x"', 1),
    "an unset variable": ('echo "$no_such_name"; touch after', 1),
    "no such command": ("no-such-command; touch after", 127),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_stage_fails_when_any_command_of_it_does(toy, failure):
    body, expected = FAILURES[failure]
    toy.write(SHOW.replace("echo one", body))
    status, out, err = toy.run()
    assert status == expected and "seven" not in out and not (toy.recipe / "after").exists()
    assert f"stage 1 failed (exit {expected}); resume with: " in err.splitlines()[-1]


def test_the_printed_command_resumes_the_stage_with_the_users_options(toy):
    toy.write(SHOW.replace("echo one", "show; test -f ready"))
    arguments = [
        "--corpus",
        "it's a $dir;",
        "--stage=0",
        "--set",
        "a.b=[1, 2]",
        "--overwrite",
        "--stop-stage",
        "1",
    ]
    _, first, err = toy.run(*arguments)
    (toy.recipe / "ready").touch()
    command = err.splitlines()[-1].partition("resume with: ")[2]
    again = subprocess.run(command, shell=True, cwd=toy.caller, env=toy.environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "stage 0:" not in again.stdout and "stage 1:" in again.stdout and "stage 7:" not in again.stdout
    assert shown(again.stdout) == shown(first)


def test_called_by_its_bare_name_it_prints_a_command_that_can_be_called(toy):
    toy.write(SHOW.replace("echo one", "false"))
    done = subprocess.run(
        ["bash", "run.sh"], cwd=toy.recipe, env=toy.environment, capture_output=True, text=True, timeout=20
    )
    assert "resume with: ./run.sh --stage 1\n" in done.stderr


def ended_by(process: "subprocess.Popen[str]", sent: signal.Signals, send: Callable[[int, int], None]) -> str:
    """Sends a signal to a recipe whose command has begun, and waits for its end; what it said on stderr.

    A bash that gets it in the moment between starting a command and waiting for it heeds it when the command has ended.
    """
    time.sleep(0.5)
    send(process.pid, sent)
    err: str = process.communicate(timeout=20)[1]
    return err


@pytest.mark.parametrize(
    ("sent", "whole_group", "expected"), [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)]
)
def test_an_interrupted_stage_says_how_to_resume_and_leaves_nothing_running(toy, sent, whole_group, expected):
    toy.write(SHOW.replace("echo one", 'sh -c "echo \\$\\$; exec sleep 60"'))
    process = toy.start("--num-jobs", "4")
    line = next(line for line in process.stdout if line.strip().isdigit())
    err = ended_by(process, sent, os.killpg if whole_group else os.kill)
    assert process.returncode in (expected, -sent)
    command = shlex.split(err.splitlines()[-1].partition(f"stage 1 failed (exit {expected}); resume with: ")[2])
    assert command == [toy.command(), "--stage", "1", "--num-jobs=4"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(line), 0)


def test_a_command_that_takes_its_time_to_end_is_waited_for(toy):
    """Known issue: the recipe ended first, and a look at its processes just then still found the command."""
    slow = "trap 'sleep 0.5; exit 1' TERM; echo \\$\\$; while :; do sleep 0.05; done"
    toy.write(SHOW.replace("echo one", f'sh -c "{slow}"'))
    process = toy.start()
    line = next(line for line in process.stdout if line.strip().isdigit())
    ended_by(process, signal.SIGTERM, os.kill)
    with pytest.raises(ProcessLookupError):
        os.kill(int(line), 0)


def test_without_an_environment_the_recipe_stops_before_its_first_stage(toy):
    (toy.root / "path.sh").write_text("echo 'setup.sh: no Python' >&2; return 1\n")
    status, out, err = toy.run()
    assert (status, out) == (1, "") and err.startswith("setup.sh: no Python\nrun.sh: no environment")


def test_a_stage_that_help_would_not_show_is_refused(toy):
    toy.write(SHOW + "if stage 8 \\\n 'Hidden'; then :; fi\n")
    status, _, err = toy.run("--stage", "7")
    assert status == 1 and "stage 8 does not stand in a line" in err


def test_the_recipes_shell_is_strict_and_sorted_by_bytes(toy):
    toy.write(SHOW.replace("echo one", 'echo "$LC_ALL $PYTHONUNBUFFERED $KDASR_ROOT"'))
    assert f"C 1 {toy.root}" in toy.run()[1]
