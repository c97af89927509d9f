"""Size, names and safety of kdasr's modules. Docstrings are ruff's matter (rules D)."""

import ast
from pathlib import Path

DRAWERS = {"utils", "util", "helpers", "helper", "misc", "common"}
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
CALLS = {"eval", "exec", "torch.load", "pickle.load", "pickle.Unpickler"}


def test_no_module_is_a_drawer_without_a_noun(files):
    assert [str(path) for path in files if path.stem in DRAWERS] == []


def test_no_module_is_longer_than_400_lines(root, modules):
    lines = {str(path): len((root / "kdasr" / path).read_text().splitlines()) for path in modules}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def long_functions(tree: ast.Module, longest: int = 80) -> dict[str, int]:
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    return {name: count for name, count in lengths.items() if count > longest}


def test_no_function_is_longer_than_80_lines(modules):
    assert {str(path): found for path, tree in modules.items() if (found := long_functions(tree))} == {}
    assert long_functions(ast.parse("def f():\n" + "    pass\n" * 80)) == {"f": 81}


def unsafe(tree: ast.Module) -> list[str]:
    """What runs code out of a file that a user may have been given."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found += [name for name in names if name.split(".")[0] in UNPICKLERS or name == "torch.load"]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            found.append(ast.unparse(node.func))
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found += [] if ast.unparse(node.value) == "False" else ["allow_pickle"]
    return found


def test_nothing_is_unpickled_or_evaluated(modules):
    # jobs.py passes calls between its own processes: pickles in memory, none from a file.
    modules = {str(path): unsafe(tree) for path, tree in modules.items()}
    modules["jobs.py"] = [name for name in modules["jobs.py"] if name != "pickle"]
    assert {path: found for path, found in modules.items() if found} == {}
    for line in ("torch.load(f)", "eval(text)", "import pickle", "from joblib import load", "pickle.load(f)"):
        assert unsafe(ast.parse(line)), line
    assert unsafe(ast.parse("np.load(f, allow_pickle=True)"))
    assert not unsafe(ast.parse("model.eval()"))


def test_the_package_mirrors_a_test_folder(root, modules):
    """A folder of kdasr that has no folder of tests is untested."""
    parts = {path.parts[0] for path in modules if len(path.parts) > 1 and path.name != "__init__.py"}
    assert {part for part in parts if not any(Path(root, "tests", part).glob("test_*.py"))} == set()
