"""The report as one Markdown page, and its sections between the marks of a README."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kdasr import io
from kdasr.refusal import Refusal, unknown_name
from kdasr.report import cells, origin, study, tables
from kdasr.report.errors import errors_tables
from kdasr.report.html import as_html
from kdasr.report.run import Run, read_run
from kdasr.report.specialists import specialists_tables
from kdasr.report.states import states_tables

HEAD = "<!-- made by `kdasr report`; make it again instead of editing it -->"
BEGIN, END = "<!-- kdasr report -->", "<!-- end -->"
MARKED = re.compile(
    r"^<!-- kdasr report(?: of (?P<run>[^\s:]+))?(?:: ?(?P<names>[a-z, ]+?))? -->$(?P<old>.*?)^<!-- end -->$",
    re.M | re.S,
)
PICTURES = "pictures"  # a section of a README; on a page each stands in its section
LOOSE = re.compile(r"^<!-- (?:kdasr report\b.*|end) -->$", re.M)


def _systems(runs: Sequence[Run]) -> str:
    parts = []
    if any(run.systems[kind] for run in runs for kind in run.systems):
        parts += [_of_runs(runs)] if len(runs) > 1 else []
        parts += [tables.systems_table(runs), _legend(len(runs))]
    return "\n".join([*parts, *_missing(runs)])


def _of_runs(runs: Sequence[Run]) -> str:
    return f"Means over {len(runs)} runs that differ by seeds: {', '.join(run.name for run in runs)}.\n"


def _legend(num_runs: int) -> str:
    over = "members, or runs" if num_runs > 1 else "members"
    return (
        "WER: rate [errors / words], 95 % bootstrap interval over utterances. Language-model weight and insertion"
        f" penalty are chosen on dev. ±: standard deviation (n − 1) over {over}, then the range."
        " Cross-entropy: nats a frame, hard labels, T = 1. The paper's numbers: section 4, table 1, another task.\n"
    )


def _missing(runs: Sequence[Run]) -> list[str]:
    lines = [
        f"- `{run.name}/{place}` is missing: run the stage with `kdasr {verb}`.\n"
        for run in runs
        for place, verb in run.missing.items()
    ]
    return ["".join(lines)] if lines else []


def _share(runs: Sequence[Run]) -> str:
    found = tables.shares_table(runs)
    note = (
        "Share kept: (student − members) / (ensemble − members), from the members' mean; n/a where the ensemble gains"
        " nothing, or less than one word. The paper's share is of its one baseline."
    )
    return f"{found}\n{' '.join([note, tables.words_note(runs)]).rstrip()}\n" if found else ""


def _kaldi(runs: Sequence[Run]) -> str:
    found = tables.kaldi_table(runs)
    note = (
        "GMMs of all training data. As Kaldi chooses: the weight that is best for the test set itself, at penalty 0,"
        " which is what Kaldi's tables show. Chosen on dev: by the GMM that has not seen the dev speakers.\n"
    )
    return f"{found}\n{note}" if found else ""


def _images(runs: Sequence[Run]) -> str:
    found = study.errors_table(runs)
    note = (
        f"Errors on the 10,000 test images, counted once per seed{_pooled(runs)}; the bars are medians. The paper's"
        " numbers: section 3. A teacher is named by its seed. Minutes: training steps alone. Command: what trains the"
        f" nets; {study.command(study.STAGE_OF_TEST)} counts their errors.\n"
    )
    return f"{found}\n{note}" if found else ""


def _pooled(runs: Sequence[Run]) -> str:
    return f", over the seeds of {', '.join(run.name for run in runs)}" if len(runs) > 1 else ""


def _development(runs: Sequence[Run]) -> str:
    found = study.development_table(runs)
    note = "Errors on the 10,000 development images of nets of the first 50,000; these choose the settings.\n"
    return f"{found}\n{note}" if found else ""


def _biases(runs: Sequence[Run]) -> str:
    found = study.bias_table(runs)
    note = (
        f"Errors on the 10,000 test images{_pooled(runs)}; the bar is on the shift chosen on dev. The paper's numbers:"
        " section 3, with the shift that is best for the test set (47.3 % and 13.2 % are 4730 and 1320 errors).\n"
    )
    return f"{found}\n{note}" if found else ""


def _temperatures(runs: Sequence[Run]) -> str:
    found = study.temperatures_table(runs)
    note = (
        "Errors on the 10,000 development images of students of the first 50,000: median over seeds, and range."
        " Best: by the median.\n"
    )
    return f"{found}\n{note}" if found else ""


def _studies(runs: Sequence[Run]) -> str:
    return "\n".join(
        f"`{run.name}/{name}`:\n\n{cells.study_table(results.rows, results.reference)}"
        for run in runs
        for name, results in run.files.studies.items()
        if results.rows and not study.is_sweep(name)
    )


def _time(runs: Sequence[Run]) -> str:
    found = origin.time_table(runs)
    note = (
        "Seconds of work, summed over the parts, of which several run at once. `decode`: k2's search alone. `train`,"
        " `distill`: steps alone, without dev scoring. –: not recorded. Memory: the most of one process.\n"
    )
    return f"{found}\n{note}" if found else ""


def _settings(runs: Sequence[Run]) -> str:
    seeds = "".join(f"- {run.name}: seeds of {text}\n" for run in runs if (text := origin.seeds(run)))
    versions = f"- {origin.versions(runs)}\n" if any(run.infos for run in runs) else ""
    return "\n".join(part for part in (origin.settings_table(runs), seeds + versions) if part)


def _errors(runs: Sequence[Run]) -> str:
    found = errors_tables(runs)
    note = "At the weights that dev chose; speakers and mistakes are in the order of the last system of each table.\n"
    return f"{found}\n{note}" if found else ""


def _states(runs: Sequence[Run]) -> str:
    found = states_tables(runs)
    note = (
        "Frames whose most probable state is another than the alignment's, in the order of the last system. Silence"
        " states taken for each other are left out; –: not among the 100 pairs that a system confuses most. A tied"
        " state is named by a phone that has it.\n"
    )
    return f"{found}\n{note}" if found else ""


def _pictures_alone(_: Sequence[Run]) -> str:
    return ""


Section = Callable[[Sequence[Run]], str]
SECTIONS: dict[str, tuple[str, Section]] = {
    "systems": ("Systems", _systems),
    "share": ("Share of the ensemble's gain that the student keeps", _share),
    "curves": ("Learning curves", _pictures_alone),
    "reliability": ("How sure the systems are, and how often right", _pictures_alone),
    "images": ("Test errors on images", _images),
    "development": ("Development nets on images", _development),
    "biases": ("Transfer sets without some classes", _biases),
    "temperatures": ("Students by temperature", _temperatures),
    "kaldi": ("GMMs of all training data, for the comparison with Kaldi", _kaldi),
    "studies": ("Studies: settings and seeds side by side", _studies),
    "specialists": ("Specialists", specialists_tables),
    "errors": ("Word errors by speaker and by word", _errors),
    "states": ("States confused", _states),
    "time": ("Time and memory", _time),
    "settings": ("Settings, seeds, versions", _settings),
}
SECTION_OF = {"study": "studies", "training": "development", "examples": "images"}  # of a picture, where not its name


def sections(runs: Sequence[Run], level: int = 2, pictures: Mapping[str, str] | None = None) -> str:
    """All sections that the runs have something for, with their headings.

    Args:
        runs: recipe runs that differ by seeds.
        level: of the headings.
        pictures: file -> what it shows; each ends its section.
    """
    texts = []
    for name, (title, write) in SECTIONS.items():
        own = {path: what for path, what in (pictures or {}).items() if _section_of(path) == name}
        texts.append((title, "\n".join(part for part in (write(runs), _shown(own)) if part)))
    return "\n".join(f"{'#' * level} {title}\n\n{text.rstrip()}\n" for title, text in texts if text)


def _section_of(picture: str) -> str:
    """The section of `curves.png`; of `study-dropout.png` that of `study`."""
    kind = Path(picture).stem.partition("-")[0]
    return SECTION_OF.get(kind, kind)


def page(runs: Sequence[Run], pictures: Mapping[str, str] | None = None) -> str:
    """The whole report.

    Args:
        runs: recipe runs that differ by seeds.
        pictures: file, relative to the report -> what it shows.
    """
    origin.expect_alike(runs)
    heading = f"# Results of {', '.join(run.name for run in runs)}"
    return f"{HEAD}\n{heading}\n\n{sections(runs, pictures=pictures).rstrip()}\n"


def beside(text: str | Path, pictures: Mapping[Path, str]) -> dict[str, str]:
    """The pictures by their place as seen from a text."""
    folder = Path(text).resolve().parent
    return {Path(os.path.relpath(path.resolve(), folder)).as_posix(): title for path, title in pictures.items()}


def _shown(pictures: Mapping[str, str]) -> str:
    return "\n".join(f"![{title}]({name})\n" for name, title in pictures.items())


def is_html(out: str | Path) -> bool:
    """Whether a report of this name is an HTML page."""
    return Path(out).suffix.lower() in (".html", ".htm")


def write_html(out: str | Path, runs: Sequence[Run], pictures: Mapping[Path, str]) -> None:
    """Writes the report as one HTML file, pictures inside. Raises Refusal rather than replace a file that is none."""
    text = page(runs, {path.name: what for path, what in pictures.items()})
    write_page(out, f"{HEAD}\n{as_html(text, {path.name: path for path in pictures})}")


def write_page(out: str | Path, text: str) -> None:
    """Writes the report. Raises Refusal rather than replace a file that is none."""
    out = Path(out)
    if out.is_dir():
        raise Refusal("a folder", where=out, expected="a file to write, e.g. results.md")
    if out.exists() and not out.read_text(encoding="utf-8", errors="replace").startswith(HEAD):
        do = f"name another file; sections go between {BEGIN} and {END} of a file by --readme"
        raise Refusal("the file is not a report of kdasr", where=out, do=do)
    io.write_text(out, text)


def filled(readme: str | Path, runs: Sequence[Run], pictures: Mapping[str, str] | None = None) -> str:
    """The text of a README with the report between its marks.

    `<!-- kdasr report -->` takes all sections with headings, `<!-- kdasr report: systems, share -->` the named ones
    without, `pictures` among them; `<!-- kdasr report of results/other.json: systems -->` those of another run than
    `runs`, named as seen from the README. Each mark stands alone in its line and ends with `<!-- end -->`.

    Args:
        readme: the file.
        runs: recipe runs that differ by seeds.
        pictures: file, relative to the README -> what it shows.

    Raises:
        Refusal: there is no such file, no mark, a mark without its end, an unknown section, or no such other run.
    """
    try:
        text = Path(readme).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Refusal("no such file", where=readme, do="name a README with --readme") from None
    pairs, marks = list(MARKED.finditer(text)), len(LOOSE.findall(text))
    if not pairs or marks != 2 * len(pairs):
        expected = f"lines {BEGIN} and {END}, one after the other"
        raise Refusal("no place for the report", where=readme, expected=expected, found=f"{marks} such lines")
    texts = {name: write for name, (_, write) in SECTIONS.items()} | {PICTURES: lambda _: _shown(pictures or {})}
    return MARKED.sub(lambda match: _fill(match, runs, texts, readme), text)


def _fill(match: re.Match[str], runs: Sequence[Run], texts: Mapping[str, Section], readme: str | Path) -> str:
    begin = match.group(0).split("\n", 1)[0]
    if match["run"]:
        runs = [read_run(Path(readme).parent / match["run"])]
        texts = {name: write for name, write in texts.items() if name != PICTURES}  # these are of the runs told
    names = (match["names"] or "").replace(",", " ").split()
    for name in names:
        if name not in texts:
            raise unknown_name("section of the report", name, texts, readme)
    found = "\n".join(texts[name](runs) or _absent(name) for name in names) if names else sections(runs, 3)
    return f"{begin}\n\n{found.rstrip()}\n\n{END}"


def _absent(name: str) -> str:
    return f"These runs have nothing for the section `{name}`.\n"
