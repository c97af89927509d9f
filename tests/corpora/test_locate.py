"""The four places of a corpus, in their order, and the one line when it is in none of them."""

from __future__ import annotations

import hashlib
import tarfile

import pytest

from kdasr.corpora import locate
from kdasr.corpora.locate import Home
from kdasr.refusal import Refusal


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No data beside the checkout, none in the environment."""
    monkeypatch.setattr(locate, "BESIDE", tmp_path / "beside")
    monkeypatch.delenv(locate.DATA, raising=False)


def holds(folder):
    return (folder / "mark").exists()


def corpus(folder):
    folder.mkdir(parents=True)
    (folder / "mark").write_text("here")
    return folder


def archive(tmp_path, name="toy/mark"):
    corpus(tmp_path / "packed")
    path = tmp_path / "toy.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "packed" / "mark", name)
    return path


def find(tmp_path, named=None, home=None):
    return locate.locate("toy", named, holds, home or Home((tmp_path / "none.tar.gz").as_uri()), tmp_path / "download")


def test_the_named_folder_comes_first(tmp_path, monkeypatch):
    corpus(tmp_path / "beside" / "toy")
    monkeypatch.setenv(locate.DATA, str(corpus(tmp_path / "data" / "toy").parent))
    named = corpus(tmp_path / "named")
    assert find(tmp_path, named) == named
    assert find(tmp_path) == tmp_path / "data" / "toy"
    monkeypatch.delenv(locate.DATA)
    assert find(tmp_path) == tmp_path / "beside" / "toy"


def test_the_folder_above_the_corpus_is_right_too(tmp_path):
    corpus(tmp_path / "named" / "toy")
    assert find(tmp_path, tmp_path / "named") == tmp_path / "named" / "toy"


@pytest.mark.parametrize(("exists", "found"), [(False, "no such folder"), (True, "other files")])
def test_a_wrong_path_is_refused_and_nothing_else_is_tried(tmp_path, exists, found):
    corpus(tmp_path / "beside" / "toy")
    if exists:
        (tmp_path / "named").mkdir()
    with pytest.raises(Refusal, match=rf"--corpus .*named: not the corpus toy \(found {found}\)"):
        find(tmp_path, tmp_path / "named")


def test_in_none_of_the_places_one_line_says_all_four(tmp_path, monkeypatch):
    monkeypatch.setenv(locate.DATA, str(tmp_path / "data"))
    with pytest.raises(Refusal) as refusal:
        find(tmp_path)
    line = str(refusal.value)
    assert "\n" not in line
    for place in (
        "--corpus",
        "$KDASR_DATA",
        str(tmp_path / "data" / "toy"),
        str(tmp_path / "beside" / "toy"),
    ):
        assert place in line
    assert "none.tar.gz (" in line and "No such file" in line


def test_a_download_is_checked_and_unpacked_once(tmp_path):
    path = archive(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    home = Home(path.as_uri(), ("0" * 64, digest))
    assert find(tmp_path, home=home) == tmp_path / "download" / "toy"
    path.unlink()
    assert find(tmp_path, home=home) == tmp_path / "download" / "toy"


def test_a_download_with_another_checksum_is_refused_and_removed(tmp_path):
    with pytest.raises(Refusal, match=r"checksum of the download \(expected 000"):
        find(tmp_path, home=Home(archive(tmp_path).as_uri(), ("0" * 64,)))
    assert not (tmp_path / "download.tar.gz").exists()


def test_a_damaged_archive_is_none_of_the_places(tmp_path):
    path = archive(tmp_path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(Refusal, match="in none of its four places"):
        find(tmp_path, home=Home(path.as_uri()))


def test_an_archive_of_something_else_is_told(tmp_path):
    with pytest.raises(Refusal, match="the archive is not this corpus"):
        find(tmp_path, home=Home(archive(tmp_path, "toy/other").as_uri()))


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    with pytest.raises(Refusal, match=r"the archive reaches outside its folder \(found \.\./mark\)"):
        find(tmp_path, home=Home(archive(tmp_path, "../mark").as_uri()))
    assert not (tmp_path / "mark").exists()


def test_a_part_of_a_corpus_is_told_by_its_own_title(tmp_path):
    (tmp_path / "named").mkdir()
    for named, told in ((tmp_path / "named", "not the part A of toy"), (None, "part A of toy is in none of its four")):
        with pytest.raises(Refusal, match=told):
            home = Home((tmp_path / "none.tar.gz").as_uri())
            locate.locate("toy", named, holds, home, tmp_path / "download", "part A of toy")


def test_a_look_downloads_nothing(tmp_path):
    assert locate.look("toy", None, holds) is None and list(tmp_path.iterdir()) == []
    beside = corpus(tmp_path / "beside" / "toy")
    assert locate.look("toy", None, holds) == beside
    assert locate.look("toy", tmp_path / "named", holds) is None
