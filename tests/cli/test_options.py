"""What the verbs share: transcripts of cuts, whatever their supervisions."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

pytest.importorskip("lhotse")
pytest.importorskip("soundfile")

from lhotse import SupervisionSegment

from kdasr import cluster, io
from kdasr.cli import main, options
from kdasr.corpora import manifests
from kdasr.corpora.validate import Found, Sound


@pytest.mark.parametrize(
    ("texts", "expected"), [(["YES"], {"u": "YES"}), ([None], {"u": ""}), (["YES", "NO"], {"u": "YES NO"}), ([], {})]
)
def test_a_transcript_is_of_all_supervisions_and_without_any_there_is_none(tmp_path, texts, expected):
    cut = manifests.make_cut(Found("u", "a", "", Path("x.flac")), Sound(Path("x.flac"), 16000, 16000, ""))
    cut.supervisions = [SupervisionSegment("u", "u", 0.5 * place, 0.5, text=text) for place, text in enumerate(texts)]
    io.begin(tmp_path / "cuts", io.Made("corpus", {}))
    manifests.save_cuts(tmp_path / "cuts", [cut])
    io.finish(tmp_path / "cuts")
    assert options.transcripts(tmp_path / "cuts") == expected


@pytest.mark.parametrize(
    ("decorator", "scheduler"), [(options.num_jobs, "tcp://host:8786"), (options.num_local_jobs, None)]
)
def test_a_verb_with_jobs_takes_a_scheduler_and_some_do_not_use_it(decorator, scheduler):
    @click.command()
    @decorator
    def command(num_jobs: int) -> None:
        assert (num_jobs, cluster.address()) == (3, scheduler)

    command.main(["--num-jobs", "3", "--scheduler", "tcp://host:8786"], standalone_mode=False)
    assert cluster.address() is None


def test_an_unknown_verb_is_refused_in_one_line_that_names_the_program_once(capsys):
    with pytest.raises(SystemExit, match="1"):
        main(["trian"])
    assert capsys.readouterr().err == "kdasr: unknown verb 'trian'; did you mean 'train'?\n"
