"""The checkout as the house rules see it: every file that git tracks or would track, every module parsed."""

import ast
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def files(root: Path) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, text=True, capture_output=True, check=True).stdout.splitlines()
    return [root / name for name in listed if (root / name).is_file()]


@pytest.fixture(scope="session")
def modules(root: Path) -> dict[Path, ast.Module]:
    """Module path, relative to the package: its syntax tree."""
    package = root / "kdasr"
    return {path.relative_to(package): ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))}
