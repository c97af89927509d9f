"""A study cell of many axes had a name longer than a file may have, which stopped the whole study."""

from __future__ import annotations

from kdasr.distill.cells import Cell


def test_the_folder_s_name_is_cut_and_still_tells_cells_apart(tmp_path):
    axes = tuple((f"student.setting_{number}", "grün" * 4) for number in range(20))
    long = [Cell("student", (*axes, ("student.epochs", epochs)), 0) for epochs in (1, 2)]
    names = [cell.folder for cell in long]
    assert len(set(names)) == 2 and all(name.startswith("student,student.setting_0=grün") for name in names)
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.part").touch()
    short = Cell("student", axes[:1], 0)
    assert short.folder == short.name
