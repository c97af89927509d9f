"""`kdasr transcribe MODEL FILE...`: what is said in recordings."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kdasr.cli import options
from kdasr.refusal import Refusal, unknown_name


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "name",
    default="txt",
    show_default=True,
    metavar="FORMAT",
    help="txt: words alone; json: words with times, a line a recording; ctm: a line a word; srt: captions.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write DIR/NAME.FORMAT for each NAME.wav, not stdout."
)
@click.pass_context
def command(context: click.Context, model: Path, files: tuple[Path, ...], name: str, out: Path | None) -> None:
    """Write what is said in FILES by MODEL, a folder of `kdasr bundle`.

    Audio is a file of any rate and number of channels (their mean is heard), in a format of libsndfile. A long
    recording is cut at silences. A file that cannot be used is named in a line on stderr, and the others are done; exit
    status 1.
    """
    from kdasr import io, log
    from kdasr.decode.recogniser import Recogniser
    from kdasr.decode.transcript import FORMATS

    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS, "--format")
    _expect_places(files, name, out)
    refused = 0
    shown = log.progress(files, "recordings") if out else files  # a bar and words would share the terminal
    for found in Recogniser(options.folder(model)).transcribe_all(shown, times=name != "txt"):
        if isinstance(found, Refusal):
            refused += 1
            print(f"kdasr: {found}", file=sys.stderr)
        elif out:
            io.write_text(out / f"{found.file.stem}.{name}", FORMATS[name](found))
        else:
            sys.stdout.write(f"{found.file}\t" if name == "txt" and len(files) > 1 else "")
            sys.stdout.write(FORMATS[name](found))
            sys.stdout.flush()
    context.exit(1 if refused else 0)


def _expect_places(files: tuple[Path, ...], name: str, out: Path | None) -> None:
    """Refuses outputs that would lie in one place, or in the place of something else."""
    from kdasr.decode.transcript import ctm_name

    if name == "srt" and not out and len(files) > 1:
        raise Refusal("captions of several recordings", where="--format srt", do="name a folder for them: --out DIR")
    names = [ctm_name(file) if name == "ctm" else file.stem for file in files]
    if twice := sorted({each for each in names if names.count(each) > 1}) if out or name == "ctm" else []:
        raise Refusal("recordings of one name", found=", ".join(twice[:5]), do="transcribe them one by one")
    if out:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            found = error.strerror
            raise Refusal("no folder can be made", where=out, found=found, do="name another: --out DIR") from None
    if out and (there := [place for file in files if (place := out / f"{file.stem}.{name}").exists()]):
        raise Refusal("a file is there already", where=there[0], do="name another folder: --out DIR, or move it away")
