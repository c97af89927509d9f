"""Kaldi's archives: what the libraries write is read back equal; damage, commands and foreign bytes are told."""

from __future__ import annotations

import gzip
import os
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

kaldiio = pytest.importorskip("kaldiio")
pytest.importorskip("lhotse")

from kdasr.exchange import archive  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402

FEATURES = {f"u{number}": np.random.default_rng(number).normal(size=(5 + number, 3)).astype("f") for number in range(3)}
PDFS = {"u0": np.array([0, 0, 7, 2], np.int32), "u1": np.array([3], np.int32)}
TEXT = "u0 0 0 7 2 \nu1 3 \n"


def packed(values: dict[str, np.ndarray], **options: object) -> bytes:
    buffer = BytesIO()
    kaldiio.save_ark(buffer, values, **options)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> str:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def test_matrices_are_read_from_archives_and_lists(tmp_path):
    kaldiio.save_ark(f"{tmp_path}/feats.ark", FEATURES, scp=f"{tmp_path}/feats.scp")
    for place in ("feats.ark", "feats.scp"):
        found = dict(archive.matrices([f"{tmp_path}/{place}"]))
        assert list(found) == list(FEATURES)
        for id, matrix in FEATURES.items():
            np.testing.assert_array_equal(found[id], matrix)
    path = write(tmp_path / "feats.ark.gz", packed(FEATURES))
    np.testing.assert_array_equal(dict(archive.matrices([path]))["u2"], FEATURES["u2"])


def test_a_list_may_name_a_file_of_one_matrix_and_go_to_and_fro(tmp_path):
    kaldiio.save_mat(f"{tmp_path}/one.mat", FEATURES["u1"])
    kaldiio.save_ark(f"{tmp_path}/a.ark", FEATURES, scp=f"{tmp_path}/a.scp")
    lines = (tmp_path / "a.scp").read_text().splitlines()
    (tmp_path / "b.scp").write_text(f"{lines[2]}\nalone {tmp_path}/one.mat\n{lines[0]}\n")
    found = dict(archive.matrices([f"{tmp_path}/b.scp"]))
    assert list(found) == ["u2", "alone", "u0"]
    np.testing.assert_array_equal(found["alone"], FEATURES["u1"])
    np.testing.assert_array_equal(found["u0"], FEATURES["u0"])


@pytest.mark.parametrize(("method", "error"), [(2, 0.05), (3, 1e-3), (5, 0.05)])  # 8 bits a column, 16, 8 bits
def test_compressed_matrices_are_unpacked(tmp_path, method, error):
    found = dict(archive.matrices([write(tmp_path / "c.ark", packed(FEATURES, compression_method=method))]))
    for id, matrix in FEATURES.items():
        np.testing.assert_allclose(found[id], matrix, atol=error)


def test_what_kaldi_compresses_is_read_as_kaldi_reads_it(tmp_path):
    kaldi = pytest.importorskip("kaldi_native_io")
    with kaldi.CompressedMatrixWriter(f"ark:{tmp_path}/c.ark") as writer:
        writer.write("u0", FEATURES["u0"], kaldi.CompressionMethod.kSpeechFeature)
        writer.write("u2", FEATURES["u2"], kaldi.CompressionMethod.kTwoByteAuto)
    with kaldi.SequentialFloatMatrixReader(f"ark:{tmp_path}/c.ark") as reader:
        wanted = {id: np.array(matrix) for id, matrix in reader}
    found = dict(archive.matrices([f"{tmp_path}/c.ark"]))
    assert list(found) == ["u0", "u2"]
    for id, matrix in wanted.items():
        np.testing.assert_allclose(found[id], matrix, atol=1e-6)


def test_a_text_matrix_may_begin_with_whole_numbers(tmp_path):
    """kaldiio takes one that does for integers."""
    path = write(tmp_path / "t.ark", b"u0  [\n  0 1.5 \n  1e-07 -3 ]\nu1  [\n  1 2 ]\n")
    found = dict(archive.matrices([path]))
    np.testing.assert_array_equal(found["u0"], np.array([[0, 1.5], [1e-7, -3]], np.float32))
    np.testing.assert_array_equal(found["u1"], [[1, 2]])


@pytest.mark.parametrize("name", ["pdf.ark", "pdf.1.gz"])
def test_alignments_are_the_same_in_binary_and_in_text(tmp_path, name):
    for content in (packed(PDFS), TEXT.encode()):
        found = dict(archive.integers([write(tmp_path / name, content)]))
        assert {id: pdfs.tolist() for id, pdfs in found.items()} == {id: pdfs.tolist() for id, pdfs in PDFS.items()}


def test_alignments_of_kaldi_s_own_writer_empty_ones_too(tmp_path):
    kaldi = pytest.importorskip("kaldi_native_io")
    for kind in ("ark", "ark,t"):
        with kaldi.Int32VectorWriter(f"{kind}:{tmp_path}/pdf.ark") as writer:
            writer.write("u0", [1, 2, 3])
            writer.write("u1", [])
        found = dict(archive.integers([f"{tmp_path}/pdf.ark"]))
        assert {id: pdfs.tolist() for id, pdfs in found.items()} == {"u0": [1, 2, 3], "u1": []}


@pytest.mark.parametrize("bytes_lost", [1, 7, 20, 75])
@pytest.mark.parametrize("options", [{}, {"compression_method": 2}])
def test_a_truncated_archive_of_matrices_is_told(tmp_path, bytes_lost, options):
    path = write(tmp_path / "feats.ark", packed(FEATURES, **options)[:-bytes_lost])
    with pytest.raises(
        Refusal, match=r"feats.ark, (u\d|the next id): damaged, cut off or of another kind .*copy-feats"
    ):
        list(archive.matrices([path]))


@pytest.mark.parametrize("content", [packed(PDFS), TEXT.encode()])
def test_a_truncated_alignment_is_told(tmp_path, content):
    for bytes_lost in (1, 2):
        path = write(tmp_path / "pdf.ark", content[:-bytes_lost])
        with pytest.raises(Refusal, match=r"pdf.ark, u1: damaged, cut off or of another kind .found "):
            list(archive.integers([path]))
    cut = tmp_path / "pdf.gz"
    cut.write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(
        Refusal, match=r"pdf.gz, (u\d|the next id): damaged, cut off or of another kind .found EOFError"
    ):
        list(archive.integers([str(cut)]))


@pytest.mark.parametrize(
    "content",
    [
        b"u0 PKLcos\nsystem\n(S'touch pwned'\ntR.",  # kaldiio's own readers would unpickle it
        b"u0 NPY\x01\x04junk",
        b"\x00\x01\x02" * 9,
        b"two words\n1 2\n",
        b"u0 \0BFM \4\xff\xff\xff\x7f\4\xff\xff\xff\x7f",  # 2^31 rows and columns
        packed(PDFS),
        packed({"u0": np.ones(4, np.float32)}),
    ],
)
def test_foreign_bytes_are_told_and_never_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "feats.ark", content)
    with pytest.raises(Refusal, match=r"feats.ark, .*: damaged, cut off or of another kind .found"):
        list(archive.matrices([path]))
    assert [path.name for path in tmp_path.iterdir()] == ["feats.ark"]


def test_matrices_in_place_of_an_alignment_are_told(tmp_path):
    with pytest.raises(Refusal, match=r"u0: damaged, cut off or of another kind .found AssertionError"):
        list(archive.integers([write(tmp_path / "x.ark", packed(FEATURES))]))
    with pytest.raises(Refusal, match=r"u0: damaged, cut off or of another kind .found ValueError"):
        list(archive.integers([write(tmp_path / "x.ark", b"u0 1 2.5 \n")]))


@pytest.mark.parametrize(
    "name", ["touch pwned |", "| touch pwned", " touch pwned | ", "ark:touch pwned |", "ark:| touch pwned"]
)
def test_a_command_is_never_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "feats.scp").write_text(f"u0 {name}\n")
    told = r"a command, which kdasr never runs .expected a"
    for read in (archive.matrices, archive.integers):
        with pytest.raises(Refusal, match=f"feats.scp, u0: {told} file, found .*; write them as files: copy-feats"):
            list(read(["feats.scp"]))
        with pytest.raises(Refusal, match=f"{told}n archive or an scp file.; write them as files: copy-feats"):
            list(read([name]))
    with pytest.raises(Refusal, match="never runs"):
        archive.fingerprint([name])
    assert not (tmp_path / "pwned").exists()


def test_absent_files_doubles_and_odd_places_are_told(tmp_path):
    scp, ark = tmp_path / "x.scp", write(tmp_path / "x.ark", packed(PDFS))
    with pytest.raises(Refusal, match=r"none.ark: no such archive .found .*none.ark.; correct the path"):
        list(archive.integers([f"{tmp_path}/none.ark"]))
    with pytest.raises(Refusal, match=r"none.scp: no such table of Kaldi's; name an archive or an scp file"):
        list(archive.integers([f"{tmp_path}/none.scp"]))
    scp.write_text("u0 nowhere.ark:3\n")
    with pytest.raises(Refusal, match=r"x.scp: no such archive .found nowhere.ark.; correct the path; those in an scp"):
        list(archive.integers([str(scp)]))
    with pytest.raises(Refusal, match=r"no such archive .found nowhere.ark"):
        archive.fingerprint([str(scp)])
    for line in ("u0", f"u0 {ark}:3[0:1]"):
        scp.write_text(f"{line}\n")
        with pytest.raises(Refusal, match=r"x.scp: no place of a value .expected ID FILE or ID FILE:OFFSET, found u0"):
            list(archive.integers([str(scp)]))
    scp.write_text(f"u0 {ark}:3\nu0 {ark}:3\n")
    with pytest.raises(Refusal, match=r"x.scp, line 2: a second line of an id .found u0.; leave one"):
        list(archive.integers([str(scp)]))
    with pytest.raises(Refusal, match=r"x.ark: two values of an utterance .found u0.; name each archive once"):
        list(archive.integers([ark, ark]))


def header(rows: int, columns: int) -> bytes:
    return b"\0BFM " + b"".join(b"\4" + struct.pack("<i", number) for number in (rows, columns))


@pytest.mark.parametrize(
    "value",
    [header(-1, 3), header(-1, -3), b"\0BCM3 " + struct.pack("<ffii", 0, 1, -1, 1)],
)
def test_a_negative_size_does_not_swallow_the_rest(tmp_path, value):
    """Of -1 bytes a file would give all that it has, and numpy would make the matrix fit."""
    for name in ("x.ark", "x.ark.gz"):
        path = write(tmp_path / name, b"u0 " + value + bytes(24) + packed(FEATURES))
        with pytest.raises(Refusal, match=r"u0: damaged, cut off or of another kind .found (Value|EOF)Error "):
            list(archive.matrices([path]))


def test_a_matrix_without_rows_is_one_in_text_too(tmp_path):
    for content in (b"u0  [ ]\nu1  [\n  1 2 ]\n", b"u0 " + header(0, 0) + b"u1 " + header(1, 2) + bytes(8)):
        found = dict(archive.matrices([write(tmp_path / "x.ark", content)]))
        assert found["u0"].shape == (0, 0) and found["u1"].shape == (1, 2)


def test_wrong_places_are_told(tmp_path):
    """Beyond the end, beyond any end, and in a gzipped archive that is cut off before."""
    kaldiio.save_ark(f"{tmp_path}/x.ark", FEATURES)
    packed_bytes = gzip.compress(packed(FEATURES))
    (tmp_path / "cut.ark.gz").write_bytes(packed_bytes[:-30])
    for place in ("x.ark:9999", f"x.ark:{10**30}", "cut.ark.gz:200"):
        (tmp_path / "x.scp").write_text(f"u0 {tmp_path}/{place}\n")
        with pytest.raises(Refusal, match=r"ark(.gz)?, u0: damaged, cut off or of another kind"):
            list(archive.matrices([f"{tmp_path}/x.scp"]))


def test_what_is_no_file_is_told(tmp_path):
    """A pipe gives its content once, for the hash, and would be an empty archive then."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        for read in (archive.fingerprint, lambda places: list(archive.integers(places))):
            with pytest.raises(Refusal, match=r"no file, but a folder, pipe or device .*; write them as files"):
                read([str(place)])
    os.symlink("loop.ark", tmp_path / "loop.ark")
    ark = write(tmp_path / "x.ark", packed(PDFS))
    for place in (tmp_path / "loop.ark", f"{ark}/x", f"{tmp_path}/{'x' * 300}", "nul\0.ark"):
        with pytest.raises(Refusal, match="no such archive"):
            archive.fingerprint([str(place)])


def test_a_fingerprint_is_of_the_content(tmp_path):
    kaldiio.save_ark(f"{tmp_path}/a.ark", FEATURES, scp=f"{tmp_path}/a.scp")
    first = archive.fingerprint([f"{tmp_path}/a.scp"])
    assert first == archive.fingerprint([f"{tmp_path}/a.scp"]) != archive.fingerprint([f"{tmp_path}/a.ark"])
    with open(tmp_path / "a.ark", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x11")
    assert archive.fingerprint([f"{tmp_path}/a.scp"]) != first


def test_what_is_written_is_read_by_kaldi(tmp_path):
    kaldi = pytest.importorskip("kaldi_native_io")
    with archive.written(tmp_path, "scores") as put:
        for id, matrix in FEATURES.items():
            put(id, archive.matrix_value(matrix))
    with archive.written(tmp_path, "post") as put:
        put("u0", archive.posterior_value(np.array([2, 0, 1]), np.array([1, 2, 0]), np.array([0.5, 0.25, 1])))
        put("u1", archive.posterior_value(np.zeros(0, int), np.zeros(0, int), np.zeros(0)))
    with kaldi.RandomAccessFloatMatrixReader(f"scp:{tmp_path}/scores.scp") as reader:
        for id, matrix in FEATURES.items():
            np.testing.assert_array_equal(reader[id], matrix)
    with kaldi.RandomAccessPosteriorReader(f"scp:{tmp_path}/post.scp") as reader:
        assert reader["u0"] == [[(1, 0.5), (2, 0.25)], [], [(0, 1.0)]] and reader["u1"] == []


def test_an_id_with_spaces_is_not_written(tmp_path):
    told = "an id with spaces cannot be written for Kaldi .found 'my file'.; rename the cut"
    with pytest.raises(Refusal, match=told), archive.written(tmp_path, "scores") as put:
        put("my file", b"")
    assert list(tmp_path.iterdir()) == []


def test_impossible_options_are_told():
    with pytest.raises(ValueError, match="dtype must be one of float16, float32, found int8"):
        archive.ArchiveOptions(dtype="int8")
    with pytest.raises(ValueError, match="frame_shift is in seconds, above 0, found 0"):
        archive.ArchiveOptions(frame_shift=0)
