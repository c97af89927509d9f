"""Files: nothing of one machine, no registry's address; a recipe is run.sh, conf/ and README.md alone."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path for path in (ROOT / "egs").glob("*") if path.is_dir())
FOREIGN = "an4_ctc"  # a recipe as somebody else writes it, with Python of its own, into which kdasr is plugged
MACHINE_PATH = re.compile(r"(?<![\w.}\])])/(tmp|root|home|opt|mnt|w[o]rk|f[a]rm)/\w")
REGISTRY = re.compile(r"(index-url|find-links|registry)[ =\"']+(https?|file)://|://[\w.]*(pypi|pythonhosted|npmjs)\.")


def lines(files: list[Path], pattern: re.Pattern[str], *without: str) -> list[str]:
    """Lines with a match, in text files outside of the given folders."""
    found = []
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(without) or path.suffix not in {
            ".py",
            ".sh",
            ".md",
            ".yaml",
            ".toml",
            ".txt",
            ".cfg",
            "",
        }:
            continue
        text = path.read_text(errors="replace").splitlines()
        found += [f"{name}:{number}: {line}" for number, line in enumerate(text, 1) if pattern.search(line)]
    return found


def test_no_path_of_one_machine(files):
    assert lines(files, MACHINE_PATH, "tests/") == []
    assert MACHINE_PATH.search("open('/home/me/x')") and not MACHINE_PATH.search("$root/tmp/x and https://a.org/home/b")


def test_no_address_of_a_registry(files):
    assert lines(files, REGISTRY, "tests/house_rules/") == []
    assert REGISTRY.search("--extra-index-url https://a.b/simple") and REGISTRY.search("://files.pypi" + ".x")


def test_no_links_and_no_python_under_egs(files):
    assert [str(path) for path in files if path.is_symlink()] == []
    code = [path.relative_to(ROOT / "egs") for path in files if path.is_relative_to(ROOT / "egs")]
    assert {path.parts[0] for path in code if path.suffix == ".py"} <= {FOREIGN}


def test_nothing_of_the_package_is_ignored_by_git():
    """A rule such as `data/` in .gitignore once would have lost kdasr/data."""
    names = [
        "kdasr/data/frames.py",
        "tests/data/test_frames.py",
        "kdasr/exp/x.py",
        "egs/an4/conf/data/x.yaml",
    ]
    lost = subprocess.run(["git", "check-ignore", "--no-index", *names], cwd=ROOT, text=True, capture_output=True)
    assert lost.stdout == ""
    made = ["egs/an4/data/x.jsonl.gz", "egs/an4/exp/x.json", ".venv/bin/python", "x.part"]
    kept = subprocess.run(["git", "check-ignore", "--no-index", *made], cwd=ROOT, text=True, capture_output=True)
    assert kept.stdout.splitlines() == made


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_run_sh_and_conf_and_readme_and_kept_results(recipe, files):
    mine = [path.relative_to(recipe) for path in files if path.is_relative_to(recipe)]
    assert {Path("run.sh"), Path("README.md")} <= set(mine)
    assert any(path.parts[0] == "conf" for path in mine)
    others = [path for path in mine if path.name not in {"run.sh", "README.md"} and path.parts[0] != "conf"]
    others = [path for path in others if path.parts[0] != "results" or path.suffix not in {".json", ".png"}]
    assert [str(path) for path in others if recipe.name != FOREIGN or path.suffix != ".py"] == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_explains_itself_without_an_environment(recipe, tmp_path):
    assert os.access(recipe / "run.sh", os.X_OK)
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    shown = subprocess.run([recipe / "run.sh", "--help"], cwd=tmp_path, env=bare, text=True, capture_output=True)
    assert shown.returncode == 0 and shown.stderr == ""
    assert "--stage N" in shown.stdout and re.search(r"^Stages:\n +0 ", shown.stdout, re.MULTILINE)
