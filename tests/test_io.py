"""Files between stages: nothing half-written, folders that know what made them, damage that is told."""

import errno
import gzip
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kdasr import io, memory
from kdasr.refusal import Refusal


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def made(**options: object) -> io.Made:
    return io.Made("verb", options, {"features": "abc"})


def test_an_interrupted_write_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "deep" / "file"
    io.write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), io.atomic(path) as part:
        part.write_text("half of the ne")
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old" and names(path.parent) == ["file"]


def test_the_written_file_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    order, replace = [], os.replace

    def renaming(*names: Path) -> None:
        order.append("rename")
        replace(*names)

    monkeypatch.setattr(os, "fsync", lambda descriptor: order.append("sync"))
    monkeypatch.setattr(os, "replace", renaming)
    io.write_text(tmp_path / "file", "text")
    assert order == ["sync", "rename", "sync"]  # the last is the folder's


WRITERS = {
    "array": "io.save_array(path, numpy.zeros(10**5))",
    "tensors": "io.save_tensors(path, {'a': torch.zeros(10**5)})",
    "text": "io.write_text(path, 'x' * 10**6)",
    "flac": """
from kdasr.corpora import audio
with io.atomic(path) as part:
    audio.write_flac(part, numpy.random.default_rng(0).normal(0, 0.1, 10**5), 16000)
""",
    "cuts.jsonl.gz": """
from pathlib import Path
from kdasr.corpora import manifests, validate
found = validate.Found("u", "a", os.urandom(10**6).hex(), Path("x.flac"))
manifests.save_cuts(Path(), [manifests.make_cut(found, validate.Sound(Path("x.flac"), 16000, 16000, ""))])
""",
}
LIBRARIES = {"flac": "soundfile", "cuts.jsonl.gz": "lhotse"}  # of the writers that are not the core's


@pytest.fixture(scope="module")
def short_of_space(tmp_path_factory):
    """Runs every writer in a process that may write files of 100 kB only: writes fall short as on a full disk."""
    folder = tmp_path_factory.mktemp("short")
    writers = {name: code for name, code in WRITERS.items() if find_spec(LIBRARIES.get(name, "torch"))}
    code = f"""
import numpy, os, resource, signal, torch
from kdasr import io, memory
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))
for path, code in {writers}.items():
    try:
        exec(code)
    except OSError as error:
        print(path, error.errno, error.filename)
"""
    root = str(Path(io.__file__).parents[1])
    command = [sys.executable, "-B", "-c", code]  # -B: Python would cut its own compiled files short
    run = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    return folder, dict(line.split(" ", 1) for line in run.stdout.splitlines())


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_an_os_error_with_number_and_file_whoever_wrote(short_of_space, writer):
    pytest.importorskip(LIBRARIES.get(writer, "torch"))
    folder, told = short_of_space
    number = errno.ENOSPC if writer == "array" else errno.EFBIG  # numpy does not say why a write fell short
    assert told[writer] == f"{number} {writer}"
    assert names(folder) == []


def test_a_full_disk_is_one_line_of_the_command(tmp_path, monkeypatch, capsys):
    from kdasr import cli

    def full(*arguments: object, **named: object) -> None:
        with io.atomic(tmp_path / "out"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli.cli, "main", full)
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == 1 and names(tmp_path) == []
    told = f"kdasr: {tmp_path}/out: No space left on device; what was finished is kept, run again\n"
    assert capsys.readouterr().err == told


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, io.atomic(tmp_path / "out"):
        Path(tmp_path / "input").read_text()
    assert caught.value.filename == str(tmp_path / "input")


def test_json_of_dataclasses_tuples_and_paths(tmp_path):
    io.write_json(tmp_path / "x.json", {"made": made(a=(1, 2)), "at": Path("p")})
    expected = {"made": {"verb": "verb", "options": {"a": [1, 2]}, "inputs": {"features": "abc"}}, "at": "p"}
    assert io.read_json(tmp_path / "x.json") == expected


@pytest.mark.parametrize("content", [b'{"a": 1', b"\xff\xfe", b""])
def test_damaged_json_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(Refusal, match="x.json: damaged JSON .found .*make it again"):
        io.read_json(tmp_path / "x.json")
    with pytest.raises(Refusal, match="y.json: no such file"):
        io.read_json(tmp_path / "y.json")


@pytest.mark.parametrize("shape", [(7, 3), (5,), (0, 4)])
def test_an_array_comes_back(tmp_path, shape):
    array = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    io.save_array(tmp_path / "a.npy", array)
    again = io.map_array(tmp_path / "a.npy")
    assert again.dtype == np.float16 and np.array_equal(again, array)


def test_a_truncated_array_is_refused_with_its_sizes(tmp_path):
    io.save_array(tmp_path / "a.npy", np.zeros((10, 4), np.float32))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-12])
    told = rf"a.npy: truncated array .expected {len(whole)} bytes for shape \(10, 4\) float32, found {len(whole) - 12}"
    with pytest.raises(Refusal, match=told):
        io.map_array(tmp_path / "a.npy")


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"\x93NUMPY\x01\x00"])
def test_what_is_no_array_is_refused(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(Refusal, match="a.npy: not an array file .*delete the folder and make it again"):
        io.map_array(tmp_path / "a.npy")
    with pytest.raises(Refusal, match="b.npy: no such file"):
        io.map_array(tmp_path / "b.npy")


def test_tensors_and_metadata_come_back(tmp_path):
    tensors = {"a": torch.randn(3, 4).T, "b": torch.arange(5)}
    io.save_tensors(tmp_path / "x", tensors, {"words": (1, 2)})
    again, metadata = io.load_tensors(tmp_path / "x")
    assert set(again) == {"a", "b"} and all(torch.equal(again[name], tensors[name]) for name in again)
    assert metadata == {"words": [1, 2]}


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: b"x" * 100])
def test_a_damaged_tensor_file_is_refused(tmp_path, damage):
    io.save_tensors(tmp_path / "x", {"a": torch.zeros(10)})
    (tmp_path / "x").write_bytes(damage((tmp_path / "x").read_bytes()))
    with pytest.raises(Refusal, match="x: damaged or foreign tensor file .*make it again"):
        io.load_tensors(tmp_path / "x")
    with pytest.raises(Refusal, match="y: no such file"):
        io.load_tensors(tmp_path / "y")


def test_a_hash_is_of_what_is_packed_not_of_when(tmp_path):
    for name, time in (("a.gz", 1), ("b.gz", 2)):
        with gzip.GzipFile(tmp_path / name, "wb", mtime=time) as file:
            file.write(b"cuts")
    (tmp_path / "c").write_bytes(b"cuts")
    (tmp_path / "d").write_bytes(b"other")
    hashes = [io.file_hash(tmp_path / name) for name in ("a.gz", "b.gz", "c", "d")]
    assert (tmp_path / "a.gz").read_bytes() != (tmp_path / "b.gz").read_bytes()
    assert hashes[0] == hashes[1] == hashes[2] != hashes[3]


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[:-9], lambda whole: whole[:10] + b"x" * 20, gzip.decompress],
    ids=["truncated", "damaged", "not packed"],
)
def test_a_damaged_gzip_file_is_refused(tmp_path, damage):
    (tmp_path / "a.gz").write_bytes(damage(gzip.compress(b"cuts")))
    with pytest.raises(Refusal, match="a.gz: damaged gzip file .found .*; fetch or make it again"):
        io.fingerprint(tmp_path / "a.gz")


def test_text_comes_back_or_is_refused(tmp_path):
    io.write_text(tmp_path / "a", "Zürich\n")
    assert io.read_text(tmp_path / "a") == "Zürich\n"
    (tmp_path / "a.gz").write_bytes(gzip.compress("Zürich\n".encode()))
    assert io.read_text(tmp_path / "a.gz") == "Zürich\n"
    (tmp_path / "a.gz").write_bytes(gzip.compress("Zürich\n".encode())[:-4])
    with pytest.raises(Refusal, match="a.gz: damaged gzip file .found .*; fetch or make it again"):
        io.read_text(tmp_path / "a.gz")
    (tmp_path / "a").write_bytes("Zürich".encode("latin-1"))
    told = "a: the list is not a text file .expected UTF-8, found .*byte 0xfc in position 1.*; unpack it or convert it"
    with pytest.raises(Refusal, match=told):
        io.read_text(tmp_path / "a", "list")
    for path in (tmp_path, tmp_path / "b"):
        with pytest.raises(Refusal, match=f"{path}: no such list; name one"):
            io.read_text(path, "list", "name one")


def test_packed_text_is_unpacked_or_refused(tmp_path):
    packed = gzip.compress("Zürich\n".encode())
    (tmp_path / "a.gz").write_bytes(packed)
    assert io.read_text(tmp_path / "a.gz") == "Zürich\n"
    for damaged in (packed[:-9], packed[:12] + b"?" + packed[13:], b"Zurich"):
        (tmp_path / "a.gz").write_bytes(damaged)
        with pytest.raises(Refusal, match="a.gz: damaged gzip file .found .*; fetch or make it again"):
            io.read_text(tmp_path / "a.gz")


def test_a_folder_s_hash_is_of_results_not_of_logs(tmp_path):
    (tmp_path / "model").write_text("1")
    before = io.folder_hash(tmp_path)
    for name in (*io.UNHASHED, "x.part", *(f"{folder}/y" for folder in io.UNHASHED_FOLDERS)):
        io.write_text(tmp_path / name, "any")
    assert io.folder_hash(tmp_path) == before
    io.write_text(tmp_path / "deep" / "model", "1")
    assert io.folder_hash(tmp_path) != before


def test_a_finished_folder_tells_the_seconds_since_it_was_opened(tmp_path, monkeypatch):
    clock = iter([10.0, 12.345])
    monkeypatch.setattr("kdasr.io.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    io.begin(tmp_path / "out", made(a=1))
    assert io.finish(tmp_path / "out")["wall_seconds"] == 2.3
    assert not io.begin(tmp_path / "out", made(a=1))  # up to date: no time is taken


def test_a_finished_folder_tells_its_peak_of_memory(tmp_path, capsys, monkeypatch):
    io.begin(tmp_path / "out", made(a=1))
    monkeypatch.setattr(memory, "peak", lambda: 1.23456)
    monkeypatch.setattr(memory, "peak_of_workers", lambda: 0.0)
    assert io.finish(tmp_path / "out")["peak_memory_gib"] == {"process": 1.235, "worker": 0.0}
    assert capsys.readouterr().err.endswith(f"{tmp_path}/out: peak memory 1.23 GiB\n")
    monkeypatch.setattr(memory, "peak_of_workers", lambda: 0.5)
    io.begin(tmp_path / "out", made(a=2), overwrite=True)
    io.finish(tmp_path / "out")
    assert capsys.readouterr().err.endswith(f"{tmp_path}/out: peak memory 1.23 GiB, 0.50 of a worker\n")


def test_a_finished_folder_is_up_to_date(tmp_path, capsys):
    out = tmp_path / "out"
    assert io.begin(out, made(a=1)) and names(out) == ["making.json"]
    io.write_text(out / "x", "1")
    info = io.finish(out, dim=3)
    assert names(out) == ["info.json", "x"] and io.read_info(out) == info
    assert info["verb"] == "verb" and info["dim"] == 3 and info["fingerprint"] == io.folder_hash(out)
    assert {"versions", "cores"} <= set(info["environment"])
    assert not io.begin(out, made(a=1))
    assert f"{out}: up to date" in capsys.readouterr().err


def test_a_begun_folder_is_gone_on_with(tmp_path):
    io.begin(tmp_path / "out", made(a=1))
    io.write_text(tmp_path / "out" / "shard", "done")
    assert io.begin(tmp_path / "out", made(a=1)) and (tmp_path / "out" / "shard").exists()


@pytest.mark.parametrize("finished", [True, False])
def test_other_options_are_refused_by_the_first_difference(tmp_path, finished):
    out = tmp_path / "out"
    io.begin(out, made(a=1, b={"c": 2.0}))
    io.write_text(out / "shard", "done")
    if finished:
        io.finish(out)
    with pytest.raises(Refusal, match=r"out: made with another options.b.c .expected 3.0, found 2.0.; add --overwrite"):
        io.begin(out, made(a=1, b={"c": 3.0}))
    with pytest.raises(Refusal, match="made with another inputs.features .expected xyz, found abc"):
        io.begin(out, io.Made("verb", {"a": 1, "b": {"c": 2.0}}, {"features": "xyz"}))
    with pytest.raises(Refusal, match="made with another verb"):
        io.begin(out, io.Made("other", {"a": 1, "b": {"c": 2.0}}, {"features": "abc"}))


@pytest.mark.parametrize("finished", [True, False])
def test_overwrite_makes_the_folder_anew(tmp_path, finished):
    out = tmp_path / "out"
    io.begin(out, made(a=1))
    io.write_text(out / "old", "1")
    io.write_text(out / "deep" / "old", "1")
    if finished:
        io.finish(out)
    before = out.stat().st_ino
    assert io.begin(out, made(a=2), overwrite=True) and names(out) == ["making.json"]
    assert io.read_json(out / "making.json")["options"] == {"a": 2}
    assert out.stat().st_ino == before  # or others would wait at the lock of a folder that is gone


def test_overwrite_keeps_what_the_same_options_made(tmp_path, capsys):
    out = tmp_path / "out"
    io.begin(out, made(a=1))
    io.write_text(out / "checkpoint", "hours")
    assert io.begin(out, made(a=1), overwrite=True) and (out / "checkpoint").exists()
    before = io.finish(out)
    assert not io.begin(out, made(a=1), overwrite=True) and io.read_info(out) == before
    assert f"{out}: up to date" in capsys.readouterr().err


def test_a_kill_while_the_folder_is_emptied_leaves_it_ours(tmp_path, monkeypatch):
    out = tmp_path / "out"
    io.begin(out, made(a=1))
    io.write_text(out / "deep" / "old", "1")
    io.write_text(out / "old", "1")
    io.finish(out)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        io.begin(out, made(a=2), overwrite=True)
    with pytest.raises(Refusal, match="the folder is unfinished"):
        io.read_info(out)
    assert io.begin(out, made(a=2), overwrite=True) and names(out) == ["making.json"]


def test_a_kill_while_the_first_mark_is_written_leaves_the_folder_ours(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "making.json.part").write_text('{"verb": ')
    assert io.begin(tmp_path / "out", made(a=1)) and names(tmp_path / "out") == ["making.json"]


def test_a_folder_that_was_begun_and_holds_nothing_may_become_anything(tmp_path):
    """A verb that refuses its inputs leaves the mark alone; the right command needs no --overwrite."""
    io.begin(tmp_path / "out", made(a=1))
    assert io.begin(tmp_path / "out", made(a=2))
    assert io.read_json(tmp_path / "out" / "making.json")["options"] == {"a": 2}


@pytest.mark.parametrize("out", ["file", "file/out", "file/deep/out"])
def test_an_output_folder_in_place_of_a_file_is_refused(tmp_path, out):
    (tmp_path / "file").write_text("x")
    found = "a file" if out == "file" else "a file above it"
    with pytest.raises(Refusal, match=f"{out}: no output folder can be made here .found {found}.; name another"):
        io.begin(tmp_path / out, made())
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("content", ["{}", "[]", '{"verb": "train"}'])
def test_a_record_that_says_too_little_is_refused(tmp_path, content):
    (tmp_path / "info.json").write_text(content)
    told = "info.json: damaged record .expected a table of verb, options, inputs, fingerprint.; delete the folder"
    with pytest.raises(Refusal, match=told):
        io.read_info(tmp_path)
    with pytest.raises(Refusal, match=told):
        io.begin(tmp_path, made(), overwrite=True)


def test_a_folder_of_another_verb_is_refused(tmp_path):
    io.begin(tmp_path, io.Made("features kdasr-fbank", {}))
    info = io.finish(tmp_path)
    assert io.read_info(tmp_path, "align", "features") == io.read_info(tmp_path) == info
    assert io.fingerprint(tmp_path, "features") == info["fingerprint"]
    told = "a folder of another kind .expected one made by `kdasr align` or `kdasr mono`, found one made by `kdasr feat"
    for read in (io.read_info, io.fingerprint):
        with pytest.raises(Refusal, match=told):
            read(tmp_path, "align", "mono")


def test_a_foreign_folder_is_never_deleted(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(Refusal, match="holds files that kdasr did not make; name another folder"):
            io.begin(tmp_path, made(), overwrite)
    assert names(tmp_path) == ["thesis.tex"]


def test_an_unfinished_folder_is_no_input(tmp_path):
    with pytest.raises(Refusal, match="out: the folder is absent .expected info.json.; run the stage that makes it"):
        io.fingerprint(tmp_path / "out") if (tmp_path / "out").exists() else io.read_info(tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(Refusal, match="the folder is not made by kdasr"):
        io.fingerprint(tmp_path / "out")
    io.begin(tmp_path / "out", made())
    with pytest.raises(Refusal, match="the folder is unfinished"):
        io.fingerprint(tmp_path / "out")
    info = io.finish(tmp_path / "out")
    assert io.fingerprint(tmp_path / "out") == info["fingerprint"]


def test_a_file_s_fingerprint_is_its_content(tmp_path):
    (tmp_path / "a").write_text("x")
    assert io.fingerprint(tmp_path / "a") == io.file_hash(tmp_path / "a")
    with pytest.raises(Refusal, match="b: no such file or folder; run the stage that makes it"):
        io.fingerprint(tmp_path / "b")


def test_a_mismatch_is_refused(tmp_path):
    io.expect_same("topology", "a", "a", tmp_path, "x")
    with pytest.raises(Refusal, match="topology does not match .expected a, found b.; make it again"):
        io.expect_same("topology", "a", "b", tmp_path, "make it again")
    with pytest.raises(Refusal, match="rate of the extractor does not match .expected 8, found 16.; make it again"):
        io.expect_same("the extractor", {"type": "x", "rate": 8}, {"type": "x", "rate": 16}, tmp_path, "make it again")


def test_options_survive_json(tmp_path):
    """A folder made with a tuple among its options is up to date although JSON knows lists only."""
    io.begin(tmp_path / "out", made(rounds=(1, 2)))
    io.finish(tmp_path / "out")
    assert not io.begin(tmp_path / "out", made(rounds=(1, 2)))
    assert json.loads((tmp_path / "out" / "info.json").read_text())["options"] == {"rounds": [1, 2]}
