"""`kdasr tree`: what it prints and draws of a model folder, and what it refuses."""

from __future__ import annotations

import pytest

from kdasr import io
from kdasr.cli import main
from kdasr.report import trees
from tests.report.test_trees import TREE


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "tri"
    io.begin(folder, io.Made("tri", {}))
    TREE.topology.write(folder / "topology.json")
    TREE.write(folder / "tree.json")
    io.finish(folder)
    return folder


def test_it_prints_all_or_one_phone(model, capsys):
    main(["tree", str(model)])
    assert capsys.readouterr() == (trees.summary(TREE) + "\n", "")
    main(["tree", str(model), "--phone", "a"])
    assert capsys.readouterr() == (trees.phone_text(TREE, "a") + "\n", "")


@pytest.mark.parametrize("phone", [[], ["--phone", "a"]])
def test_it_draws_all_or_one_phone(model, tmp_path, capsys, phone):
    png, expected = tmp_path / "pictures" / "tree.png", tmp_path / "expected.png"
    main(["tree", str(model), "--draw", str(png), *phone])
    assert capsys.readouterr().err.endswith(f"{png}: drawn\n")
    if phone:
        trees.draw_phone(expected, TREE, "a")
    else:
        trees.draw(expected, TREE)
    assert png.read_bytes() == expected.read_bytes() and list(png.parent.iterdir()) == [png]


def test_a_monophone_without_a_tree_file_has_the_tree_of_its_topology(model, capsys):
    (model / "tree.json").unlink()
    main(["tree", str(model)])
    assert capsys.readouterr().out.startswith("13 pdfs of 5 phones; windows: phone\n")


@pytest.mark.parametrize(
    "harm, arguments, told",
    [
        (lambda model: (model / "tree.json").write_text("{"), [], "tree.json: damaged JSON"),
        (lambda model: (model / "tree.json").write_text("{}"), [], "tree.json: not a tree of these phones"),
        (lambda model: (model / "topology.json").unlink(), [], "topology.json: no such file"),
        (lambda model: (model / "info.json").unlink(), [], "tri: the folder is not made by kdasr"),
        (lambda model: None, ["--phone", "AH"], "--phone: unknown phone 'AH'; known: SIL, SPN, a, b, c"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_draws_nothing(model, tmp_path, capsys, harm, arguments, told):
    harm(model)
    with pytest.raises(SystemExit) as caught:
        main(["tree", str(model), "--draw", str(tmp_path / "x.png"), *arguments])
    out, err = capsys.readouterr()
    assert caught.value.code == 1 and out == "" and err.startswith("kdasr: ") and err.count("\n") == 1 and told in err
    assert not (tmp_path / "x.png").exists()


def test_no_such_folder_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["tree", str(tmp_path / "none")])
    assert "none: no such folder; run the stage that makes it" in capsys.readouterr().err
