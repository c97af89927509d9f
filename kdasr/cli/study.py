"""`kdasr study OUT`: baselines, ensembles and students over combinations of settings and seeds, and their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kdasr.cli import options, sets
from kdasr.refusal import Refusal

if TYPE_CHECKING:
    from kdasr.decode.study import Decoding
    from kdasr.distill.cells import Cell
    from kdasr.distill.student import StudentJob
    from kdasr.distill.study import CellJob, Pool
    from kdasr.train.job import TrainJob

MODEL = "model"  # folder of a cell's own model, in the cell's


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.training_set
@sets.transfer_sets
@sets.dev_set
@sets.test_set
@click.option(
    "--members", metavar="DIR", help="Pool of members (kdasr train): teachers, ensembles, the baseline's seeds."
)
@click.option("--soft-targets", metavar="DIR", help="Stored soft targets of all students, in place of members.")
@click.option("--graph", metavar="DIR", help="Decoding graph: cells are decoded too; asks for --lang and --dev-cuts.")
@click.option("--lang", metavar="DIR", help="Language that the graph was made with.")
@click.option("--dev-cuts", metavar="DIR", help="Transcripts of the development set, which choose weight and penalty.")
@click.option("--test-cuts", metavar="DIR", help="Transcripts of the test set.")
@click.option(
    "--known",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Results of an earlier run: its cells are not computed again; repeatable.",
)
@options.num_jobs
def command(
    out: Path,
    train: sets.SetNames,
    dev: sets.SetNames,
    test: sets.SetNames,
    members: str | None,
    soft_targets: str | None,
    graph: str | None,
    lang: str | None,
    dev_cuts: str | None,
    test_cuts: str | None,
    known: tuple[Path, ...],
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Compute the cells of section `study` of the settings, each in OUT/<cell>; write results.json, .md and .png.

    A cell that is done, or known, is not done again. One that cannot be is told before any is computed; one that is
    refused on the way is told at the end, the others are computed. Students alone learn from transfer sets.
    """
    from kdasr import io, log
    from kdasr.distill import study
    from kdasr.distill.cells import cells
    from kdasr.report.cells import referred, study_table, systems
    from kdasr.report.lines import draw_study
    from kdasr.train.job import threads_each

    wanted = settings.section("study")
    pool = study.Pool(options.folder(members), train.expected(settings)) if members else None
    named = {"train": train, "dev": dev, "test": test}
    decoding = _decoding(graph, lang, {"dev": dev_cuts, "test": test_cuts}, named, settings)
    plan = Plan(out, settings, train, dev, test, pool, soft_targets, decoding, overwrite)
    work = study.distinct([plan.job(cell) for cell in cells(wanted)])
    results = study.Results(plan.inputs(), reference=wanted.reference)
    for path in known:
        results.add(study.Results.read(path), path)
    if wanted.reference:
        referred(systems([*(job.row for job in work), *results.rows]), wanted.reference)
    results, failed = study.run(work, results, num_jobs, threads_each(num_jobs, len(work)))
    if not any(row["system"] == results.reference for row in results.rows):  # it failed
        results.reference = ""
    results.write(out / study.RESULTS)
    if results.rows:
        text = study_table(results.rows, results.reference)
        io.write_text(out / "results.md", text)
        draw_study(out / "results.png", results.rows)
        click.echo(text, nl=False)
    for name, refusal in failed.items():
        log.event(f"failed: {name}: {refusal}")
    if failed:
        do = "mend them and run again: what is done is kept"
        raise Refusal(f"{len(failed)} of {len(work)} cells failed", where=out, found=", ".join(failed), do=do)


def _decoding(
    graph: str | None,
    lang: str | None,
    cuts: Mapping[str, str | None],
    named: Mapping[str, sets.SetNames],
    settings: options.Settings,
) -> Decoding | None:
    """How cells are decoded; None where nothing of it is named. Raises Refusal where half of it is."""
    if not (graph or lang or any(cuts.values())):
        return None
    wanted = {"--graph": graph, "--lang": lang, "--dev-cuts": cuts["dev"]}
    wanted |= {"--features": named["train"].features, "--dev-features": named["dev"].features}
    missing = [name for name, value in wanted.items() if not value]
    missing += ["--test-cuts"] if named["test"].features and not cuts["test"] else []
    if missing:
        raise Refusal("half of what decoding needs", where="kdasr study", expected=" and ".join(missing))
    from kdasr.decode.study import Decoding

    features = {name: options.folder(path) for name in cuts if (path := named[name].features)}
    references = {name: options.transcripts(str(cuts[name])) for name in features}
    folders = options.folder(str(graph)), options.folder(str(lang))
    decoding = Decoding(*folders, features, references, settings.section("decode"))
    decoding.expect(options.folder(str(named["train"].ali)))
    return decoding


@dataclass(frozen=True)
class Plan:
    """What all cells share: sets, settings, pool. Transfer sets of the training set are the students' alone."""

    out: Path
    settings: options.Settings
    train: sets.SetNames
    dev: sets.SetNames
    test: sets.SetNames
    pool: Pool | None
    soft_targets: str | None
    decoding: Decoding | None
    overwrite: bool

    def inputs(self) -> dict[str, str]:
        """Content hashes of the sets."""
        prefixes = (("", self.train), ("dev_", self.dev), ("test_", self.test))
        found = {
            f"{prefix}{name}": value
            for prefix, names in prefixes
            if (source := names.source(self.settings))
            for name, value in source.fingerprints().items()
        }
        return {**found, **(self.decoding.inputs() if self.decoding else {})}

    def job(self, cell: Cell) -> CellJob:
        """What computes a cell."""
        own = options.Settings(self.settings.conf, (*self.settings.overrides, *cell.overrides), self.settings.part)
        make = {"baseline": self._baseline, "ensemble": self._ensemble, "student": self._student}[cell.kind]
        return make(cell, own, self.out / cell.folder)

    def _baseline(self, cell: Cell, own: options.Settings, folder: Path) -> CellJob:
        labelled = replace(self.train, transfer=())
        job = sets.train_job(folder / MODEL, own, labelled, self.dev, self.overwrite)
        member = self.pool.made_as(job.made) if self.pool else None
        return self._cell(cell, own, None if member else job, (member or job.folder,), job.made.options)

    def _ensemble(self, cell: Cell, own: options.Settings, folder: Path) -> CellJob:
        members, distill = self._members(cell), own.section("distill")
        return self._cell(cell, own, None, members, {"distill": distill}, self._hash(members), distill.mean)

    def _student(self, cell: Cell, own: options.Settings, folder: Path) -> CellJob:
        from kdasr import io
        from kdasr.distill.study import hashed

        if self.soft_targets and cell.members:
            do = "leave --soft-targets out, so that members teach, or the axis"
            raise Refusal("stored soft targets are of members of their own", where=f"study: {cell.name}", do=do)
        teachers = () if self.soft_targets else self._members(cell)
        job = sets.student_job(
            folder / MODEL,
            own,
            self.train,
            self.dev,
            (self.soft_targets, tuple(map(str, teachers))),
            self.overwrite,
        )
        transfer = [value for name, value in job.source.fingerprints().items() if name.startswith("transfer_")]
        taught = io.fingerprint(job.soft_targets, "soft-targets") if job.soft_targets else self._hash(teachers)
        taught = hashed([taught, *transfer]) if transfer else taught
        return self._cell(cell, own, job, (job.folder,), job.made.options, taught)

    def _members(self, cell: Cell) -> tuple[Path, ...]:
        if self.pool is None:
            raise Refusal("no pool of members is named", where=f"study: {cell.name}", expected="--members DIR")
        return tuple(self.pool.first(cell.members))

    def _hash(self, members: Sequence[Path]) -> str:
        from kdasr.distill.ensemble import fingerprints
        from kdasr.distill.study import hashed

        return hashed(list(fingerprints("model", members).values()))

    def _cell(
        self,
        cell: Cell,
        own: options.Settings,
        train: TrainJob | StudentJob | None,
        models: tuple[Path, ...],
        made: Mapping[str, Any],
        teachers: str = "",
        mean: str = "arithmetic",
    ) -> CellJob:
        from kdasr.distill.cells import set_apart
        from kdasr.distill.study import CellJob

        scored = {"dev": self.dev.expected(own), "test": self.test.source(own)}
        named = {name: source for name, source in scored.items() if source}
        settings, folder = set_apart(cell.kind, made), self.out / cell.folder
        words = self.decoding.of(folder / "decode", models, mean, self.overwrite) if self.decoding else None
        return CellJob(folder, cell, train, models, mean, named, settings, teachers, self.overwrite, words)
