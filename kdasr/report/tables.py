"""Results as Markdown tables: systems, the share of the ensemble's gain, the comparison with Kaldi."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kdasr import models
from kdasr.report.run import AS_KALDI, ENSEMBLE, GMM, GMMS, MEMBERS, SETS, STUDENT, Run, System, WordRate

NONE = "–"
PAPER = {"baseline": ("58.9", "10.9"), ENSEMBLE: ("61.1", "10.7"), STUDENT: ("60.8", "10.7")}  # section 4, table 1
ROUNDING = 1e-9  # of means in per cent
PAPER_SHARES = {"test accuracy": "86 %", "test WER": "100 %"}  # (60.8 - 58.9) / (61.1 - 58.9); all of the WER gain
COLUMNS = (
    *("system", "frame accuracy %, dev", "test", "without silence %, dev", "test", "cross-entropy, dev", "test"),
    *("WER %, dev", "WER %, test", "weight; penalty", "parameters", "paper: frame accuracy %", "paper: WER %"),
)
BAR = "\\|"  # in a cell


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars in its cells are no borders."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "".join(f"| {' | '.join(cell.replace('|', BAR) for cell in line)} |\n" for line in lines)


def told_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of the columns in which some row says something."""
    told = [number for number in range(len(header)) if any(row[number] != NONE for row in rows)]
    return table([header[number] for number in told], [[row[number] for number in told] for row in rows])


def spread(values: Sequence[float], digits: int) -> str:
    """A value, or the mean of several with standard deviation (n - 1) and range."""
    if not values:
        return NONE
    mean = f"{statistics.fmean(values):.{digits}f}"
    if min(values) == max(values):
        return mean
    ends = f"{min(values):.{digits}f}–{max(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f} ({ends})"


def word_rate(rates: Sequence[WordRate]) -> str:
    """WER, [errors / words], and the 95 % interval of a single system."""
    if not rates:
        return NONE
    text = f"{spread([rate.rate for rate in rates], 2)} [{_plain([rate.errors for rate in rates])} / {rates[0].words}]"
    return f"{text}, {rates[0].low:.2f} to {rates[0].high:.2f}" if len(rates) == 1 else text


def _plain(values: Sequence[float]) -> str:
    """Mean, without a fraction where there is none."""
    mean = statistics.fmean(values)
    return f"{mean:.0f}" if mean == round(mean) else f"{mean:.1f}"


def choice(rates: Sequence[WordRate]) -> str:
    """Language-model weight and insertion penalty, or their ranges."""
    if not rates:
        return NONE
    columns = [rate.lm_weight for rate in rates], [rate.penalty for rate in rates]
    return "; ".join(
        f"{min(column):g}" if min(column) == max(column) else f"{min(column):g} to {max(column):g}"
        for column in columns
    )


def systems_table(runs: Sequence[Run]) -> str:
    """One row a system: frame accuracies, cross-entropies, word error rates; members pooled over all runs."""
    pooled = {kind: [system for run in runs for system in run.systems[kind]] for kind in runs[0].systems}
    firsts = [run.systems[MEMBERS][0] for run in runs if run.systems[MEMBERS]]
    rows = [
        (_title(name), [system for system in pooled[GMM] if system.name == name], ("", ""))
        for name in dict.fromkeys(system.name for system in pooled[GMM])
    ]
    rows += [(f"baseline ({_either(system.name for system in firsts)})", firsts, PAPER["baseline"])]
    rows += [(f"members, mean of {len(pooled[MEMBERS])}", pooled[MEMBERS], ("", ""))]
    rows += [(_either(system.name for system in pooled[ENSEMBLE]), pooled[ENSEMBLE], PAPER[ENSEMBLE])]
    rows += [("distilled student", pooled[STUDENT], PAPER[STUDENT])]
    return table(COLUMNS, [[name, *_row(found), *paper] for name, found, paper in rows if found])


def _title(gmm: str) -> str:
    return GMMS.get(gmm, f"GMM {gmm}")


def _either(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _row(systems: Sequence[System]) -> list[str]:
    cells = [
        spread([scale * getattr(system.accuracy[name], value) for system in systems if name in system.accuracy], digits)
        for value, scale, digits in (
            ("accuracy", 100, 2),
            ("accuracy_without_silence", 100, 2),
            ("cross_entropy", 1, 4),
        )
        for name in SETS
    ]
    rates = {name: [system.words[name] for system in systems if name in system.words] for name in SETS}
    return [*cells, word_rate(rates["dev"]), word_rate(rates["test"]), choice(rates["test"]), parameters(systems[0])]


def parameters(system: System) -> str:
    """Number of trained weights, of all members for an ensemble; states and Gaussians for a GMM."""
    info = system.info or {}
    if "num_gaussians" in info:
        return _mixtures(info)
    several = "model" in info and system.name.startswith("ensemble")
    return f"{system.name.rpartition(' ')[2]} × {size(info)}" if several else size(info)


def _mixtures(info: Mapping[str, Any]) -> str:
    """States of a GMM, those that share a mixture counted once, and its Gaussians."""
    return f"{info['num_pdfs']:,} states, {info['num_gaussians']:,} Gaussians"


def size(info: Mapping[str, Any]) -> str:
    """Number of trained weights of a model, by its info."""
    return f"{models.parameters(info['model']):,}" if "model" in info else NONE


def shares_table(runs: Sequence[Run]) -> str:
    """The share of the ensemble's gain over the members' mean that the student keeps; empty if a system is missing."""
    rows, words = [], _words(runs)
    for measure in ("accuracy", "WER"):
        for name in SETS:
            gains = [gain for run in runs if (gain := gains_of(run, _measures(name)[measure])) is not None]
            if gains:
                least = 100 / max(1, words[name]) - ROUNDING if measure == "WER" else ROUNDING  # one word
                rows.append(_share_row(f"{name} {measure}", gains, least))
    header = ("measure, %", "members", "ensemble's gain", "student's gain", "share kept", "paper")
    return table(header, rows) if rows else ""


def _measures(name: str) -> dict[str, Callable[[System], float | None]]:
    """Per cent, by name of the measure; more is worse for WER."""
    return {
        "accuracy": lambda system: 100 * system.accuracy[name].accuracy if name in system.accuracy else None,
        "WER": lambda system: system.words[name].rate if name in system.words else None,
    }


def gains_of(run: Run, measure: Callable[[System], float | None]) -> tuple[float, float, float] | None:
    """Members' mean, and what ensemble and student have more; None where one of them has no score."""
    values = {
        kind: [value for system in run.systems[kind] if (value := measure(system)) is not None]
        for kind in (MEMBERS, ENSEMBLE, STUDENT)
    }
    if not all(values.values()):
        return None
    members = statistics.fmean(values[MEMBERS])
    return members, values[ENSEMBLE][0] - members, values[STUDENT][0] - members


def _share_row(name: str, gains: Sequence[tuple[float, float, float]], least: float) -> list[str]:
    better = -1 if name.endswith("WER") else 1
    members, ensemble, student = (statistics.fmean(column) for column in zip(*gains, strict=True))
    each = ", ".join(share(better * gain[1], better * gain[2], least) for gain in gains)
    kept = share(better * ensemble, better * student, least) + (f" (by run: {each})" if len(gains) > 1 else "")
    return [name, f"{members:.2f}", f"{ensemble:+.2f}", f"{student:+.2f}", kept, PAPER_SHARES.get(name, "")]


def share(ensemble: float, student: float, least: float = ROUNDING) -> str:
    """(student - members) / (ensemble - members) of two gains; n/a where the ensemble's is less than `least`."""
    return f"{round(100 * student / ensemble)} %" if ensemble >= least else "n/a"


def words_note(runs: Sequence[Run]) -> str:
    """What one word weighs, for each set that was scored."""
    words = _words(runs)
    texts = [
        f"one of the {words[name]} {name} words is {100 / max(1, words[name]):.2f} %" for name in SETS if name in words
    ]
    return f"WER moves by single words here: {', '.join(texts)}." if texts else ""


def _words(runs: Sequence[Run]) -> dict[str, int]:
    """Number of words of each set that was scored."""
    return {
        name: rate.words
        for run in runs
        for found in run.systems.values()
        for system in found
        for name, rate in system.words.items()
        if name in SETS
    }


def kaldi_table(runs: Sequence[Run]) -> str:
    """GMMs of all training data, scored as Kaldi's tables are and with the weights that dev chooses."""
    rows = []
    for name in sorted({name for run in runs for name in run.kaldi}, key=_place_of_kaldi):
        gmm, _, lm = name.rpartition("_")
        scored = [run.kaldi[name] for run in runs if name in run.kaldi]
        rates = [[each[rule] for each in scored if rule in each] for rule in (AS_KALDI, "test")]
        infos = [info for run in runs if (info := run.infos.get(f"all/{gmm}"))]
        cells = [cell for found in rates for cell in (word_rate(found), choice(found))]
        rows.append([_title(gmm), _mixtures(infos[0]) if infos else NONE, lm, *cells])
    rules = ("WER %, test, as Kaldi chooses", "weight; penalty", "WER %, test, chosen on dev", "weight; penalty")
    return table(("system", "size", "language model", *rules), rows) if rows else ""


def _place_of_kaldi(name: str) -> tuple[int, str]:
    """Row of a GMM and language model: GMMs in the order of training, language models by name."""
    gmm, _, lm = name.rpartition("_")
    return [*GMMS, gmm].index(gmm), lm
