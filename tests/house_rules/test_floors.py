"""Each floor of kdasr imports only the floors below it, the core nothing of speech: read from the imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

GROUND = {"cluster", "config", "differences", "io", "lock", "log", "refusal", "jobs", "memory", "processor"}
CORE = [GROUND, {"data", "models"}, {"train"}, {"distill"}, {"specialists"}]
SPEECH = [{"fsa"}, {"corpora", "lang"}, {"features"}, {"align"}, {"decode"}, {"exchange"}]
TOP = [{"report"}, {"cli"}, {"__main__"}]
CORE_LIBRARIES = {
    "torch",
    "numpy",
    "safetensors",
    "omegaconf",
    "yaml",
    "click",
    "tqdm",
    "tensorboard",
    "matplotlib",
    "sklearn",
}
LATE = {"k2": "fsa", "distributed": "cluster", "onnx": "distill", "onnxruntime": "distill"}  # optional: its one door


def below() -> dict[str, set[str]]:
    """Part of kdasr: the parts that it may import. Speech stands beside the core and may import all of it."""
    allowed, core = {name: set(GROUND) for name in GROUND}, set[str]().union(*CORE)
    for floors, base in ((CORE[1:], GROUND), (SPEECH, core), (TOP, core.union(*SPEECH))):
        lower = set(base)
        for floor in floors:
            allowed |= {name: lower | {name} for name in floor}
            lower |= floor
    return allowed


def imports(tree: ast.AST) -> Iterator[str]:
    """Every name that is imported, functions' late imports too: `from kdasr import io` is kdasr.io."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import hides the floor that it comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def trespasses(path: Path, tree: ast.AST) -> list[str]:
    part = path.parts[0].removesuffix(".py")
    if part == "__init__":
        return [name for name in imports(tree) if name.startswith("kdasr.") and name != "kdasr.processor"]
    allowed, core = below()[part], set[str]().union(*CORE)
    found = []
    for name in imports(tree):
        top, _, rest = name.partition(".")
        if top == "kdasr":
            found += [name] if rest.split(".")[0] not in allowed | {"", "__version__"} else []
        elif part in core and LATE.get(top) != part and top not in CORE_LIBRARIES | sys.stdlib_module_names:
            found.append(name)
    return found


def test_no_module_imports_a_floor_above_or_beside_it(modules):
    found = {str(path): names for path, tree in modules.items() if (names := trespasses(path, tree))}
    assert not found
    assert trespasses(Path("data/frames.py"), ast.parse("def f():\n    from kdasr.train import loop"))
    assert trespasses(Path("distill/loss.py"), ast.parse("from kdasr.specialists import infer"))
    assert trespasses(Path("specialists/infer.py"), ast.parse("from kdasr.report import panels"))
    assert not trespasses(Path("specialists/joint.py"), ast.parse("from kdasr.distill.ensemble import Ensemble"))
    assert trespasses(Path("align/gmm.py"), ast.parse("from kdasr import decode"))


def test_the_core_imports_nothing_of_speech():
    for line in (
        "import lhotse",
        "from k2 import Fsa",
        "import kdasr.fsa",
        "from kdasr.features import fbank",
    ):
        assert all(trespasses(Path(part, "x.py"), ast.parse(line)) for floor in CORE for part in floor), line


def test_optional_libraries_are_imported_late(modules):
    """`kdasr --help` and the core work without k2 and dask, so no module imports them when it is itself imported."""
    early = [
        str(path)
        for path, tree in modules.items()
        for node in tree.body
        if isinstance(node, (ast.Import, ast.ImportFrom)) and any(name.split(".")[0] in LATE for name in imports(node))
    ]
    assert not early
