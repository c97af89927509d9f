"""One recipe run as its folders tell it: the systems and their scores, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kdasr import io
from kdasr.refusal import Refusal
from kdasr.report.files import WORDS, RunFiles, read_files
from kdasr.train.accuracy import Score

SETS = ("dev", "test")
AS_KALDI = "test_as_kaldi"  # the test set at its own best weight and penalty 0; it chooses nothing
GMM, MEMBERS, ENSEMBLE, STUDENT = "gmm", "members", "ensemble", "student"
GMMS = {  # by folder, in the order in which one is trained from another
    "mono": "monophone GMM",
    "tri": "triphone GMM",
    "lda_mllt": "triphone GMM, LDA and MLLT",
    "sat": "triphone GMM, fMLLR",
}
SPEECH = ("members", "student", "mono", "score", "all")  # a run without any of these is one of images
# Any of these makes a folder a run.
PARTS = ("accuracy", "score", "all/score", "members", "student", "mono", "dev", "bias")


@dataclass(frozen=True)
class WordRate:
    """Word errors of a set at one weight and penalty, as `wer.json` has them."""

    words: int
    insertions: int
    deletions: int
    substitutions: int
    low: float  # of the 95 % bootstrap interval, per cent
    high: float
    lm_weight: float
    penalty: float

    @property
    def errors(self) -> int:
        """All errors."""
        return self.insertions + self.deletions + self.substitutions

    @property
    def rate(self) -> float:
        """Word error rate, per cent."""
        return 100 * self.errors / max(1, self.words)


@dataclass(frozen=True)
class System:
    """What a run knows of one system; a part that was not made is absent.

    Attributes:
        name: of its folder, e.g. member-0.
        info: of its model (of a member of the ensemble), or None.
        accuracy: set -> frame accuracy.
        words: set -> word error rate.
    """

    name: str
    info: Mapping[str, Any] | None = None
    accuracy: Mapping[str, Score] = field(default_factory=dict)
    words: Mapping[str, WordRate] = field(default_factory=dict)

    @property
    def scored(self) -> bool:
        """Whether there is any number to show."""
        return bool(self.accuracy or self.words)


@dataclass(frozen=True)
class Run:
    """One run of a recipe.

    Attributes:
        files: of EXP, the recipe's folder of models and results.
        systems: kind (gmm, members, ensemble, student) -> the systems of that kind that have scores.
        kaldi: GMM of all training data and language model, e.g. tri_bigram -> set -> word error rate.
        missing: folders without results -> the verb that makes them.
    """

    files: RunFiles
    systems: Mapping[str, list[System]]
    kaldi: Mapping[str, Mapping[str, WordRate]]
    missing: Mapping[str, str]

    @property
    def name(self) -> str:
        """The run's name in reports."""
        return self.files.name

    @property
    def infos(self) -> Mapping[str, dict[str, Any]]:
        """Finished folder, relative to the run's -> its info."""
        return self.files.infos


def read_run(where: str | Path) -> Run:
    """Reads a run, from its folder or from the file that it was kept in.

    Raises:
        Refusal: there is nothing to report, or scores are of other models than those that lie beside them.
    """
    files = read_files(where)
    if not any(files.holds(part) for part in PARTS):
        raise Refusal(
            "nothing to report",
            where=where,
            expected=f"folders {', '.join(PARTS[:3])} of a recipe run, or a file that `kdasr report --keep` made",
            found="none of them" if Path(where).exists() else "no such folder",
            do="run the recipe, or name its folder of models and results",
        )
    return _Reader(files).run()


class _Reader:
    """Collects what `read_run` returns."""

    def __init__(self, files: RunFiles) -> None:
        self.files, self.infos = files, files.infos
        self.missing: dict[str, str] = {}

    def run(self) -> Run:
        if not any(map(self.files.holds, SPEECH)):
            return Run(self.files, {kind: [] for kind in (GMM, MEMBERS, ENSEMBLE, STUDENT)}, {}, {})
        models = {"members": self._models("members", "train"), "student": self._models("student", "distill")}
        systems = {
            GMM: self._gmms(),
            MEMBERS: self._members(models["members"]),
            ENSEMBLE: self._ensemble(models["members"]),
            STUDENT: [self._student(models["student"])],
        }
        scored = {kind: [system for system in found if system.scored] for kind, found in systems.items()}
        return Run(self.files, scored, self._kaldi(), self.missing)

    def _models(self, part: str, verb: str) -> dict[str, dict[str, Any]]:
        """Finished models below a folder, by name, in the order of their numbers."""
        found = {
            place.split("/")[1]: info for place, info in self.infos.items() if re.fullmatch(rf"{part}/[^/]+", place)
        }
        begun = {place.split("/")[1] for place in self.files.begun if re.fullmatch(rf"{part}/[^/]+", place)} - set(
            found
        )
        for place in [f"{part}/{name}" for name in sorted(begun)] or ([] if found else [part]):
            self.missing[place] = verb
        return dict(sorted(found.items(), key=lambda item: _number(item[0])))

    def _members(self, models: Mapping[str, dict[str, Any]]) -> list[System]:
        each: dict[str, dict[str, Score]] = {name: {} for name in models}
        for set_name in SETS:
            info = self._accuracy(set_name, "members", models)
            for member in info.get("members", ()):
                each.setdefault(Path(member["folder"]).name, {})[set_name] = _score(member)
        for place in self.infos:
            if re.fullmatch(r"score/members/member-\d+", place):
                each.setdefault(place.rpartition("/")[2], {})
        return [
            System(name, models.get(name), each[name], self._words(f"score/members/{name}"))
            for name in sorted(each, key=_number)
        ]

    def _ensemble(self, models: Mapping[str, dict[str, Any]]) -> list[System]:
        """One system; none where there is a member alone, which is no ensemble."""
        infos = {set_name: self.infos.get(f"accuracy/{set_name}/members") for set_name in SETS}
        accuracy = {set_name: _score(info) for set_name, info in infos.items() if info}
        words = self._words("score/members/ensemble")
        size = _ensemble_size(infos.values()) or len(models)
        system = System(f"ensemble of {size}", next(iter(models.values()), None), accuracy, words)
        return [] if size == 1 else [system]

    def _student(self, models: Mapping[str, dict[str, Any]]) -> System:
        infos = {set_name: self._accuracy(set_name, "student", models) for set_name in SETS}
        accuracy = {set_name: _score(info) for set_name, info in infos.items() if info}
        scored = {fingerprint for info in infos.values() for fingerprint in _model_prints(info)}
        own = [info for info in models.values() if info["fingerprint"] in scored] or [*models.values()]
        return System("student", own[0] if own else None, accuracy, self._words("score/student"))

    def _gmms(self) -> list[System]:
        """Those trained, and those whose scores alone are here."""
        trained = {place for place, info in self.infos.items() if "/" not in place and info["verb"] in ("mono", "tri")}
        scored = {name for name in GMMS if f"score/{name}" in self.infos}
        names = sorted(trained | scored, key=lambda name: ([*GMMS, name].index(name), name))
        return [System(name, self.infos.get(name), {}, self._words(f"score/{name}")) for name in names]

    def _accuracy(self, set_name: str, system: str, models: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """Info of a scored set, {} if there is none; refuses scores of models that were made anew since."""
        place = f"accuracy/{set_name}/{system}"
        info = self.infos.get(place)
        if info is None:
            self.missing[place] = "accuracy"
            return {}
        present = {model["fingerprint"] for model in models.values()}
        if present and not _model_prints(info) <= present:
            raise Refusal(
                "the scores are of other models than those beside them",
                where=self.files.where / place,
                expected=", ".join(sorted(present)),
                found=", ".join(sorted(_model_prints(info))),
                do="run the stage with `kdasr accuracy` again, with --overwrite",
            )
        return info

    def _words(self, place: str) -> dict[str, WordRate]:
        """Word error rates of a scored system, {} if there are none; refuses those of decodings made anew since."""
        info = self.infos.get(place)
        if info is None:
            self.missing[place] = "score"
            return {}
        system = place.partition("/")[2]
        for set_name in SETS:
            decoded = self.infos.get(f"decode/{set_name}/{system}")
            if decoded and place.startswith("score/"):
                io.expect_same(
                    f"the decoded {set_name} set of the scores",
                    decoded["fingerprint"],
                    info["inputs"].get(set_name),
                    self.files.where / place,
                    "run the stage with `kdasr score` again, with --overwrite",
                )
        names = [entry.name for entry in fields(WordRate)]
        record = self.files.words.get(place)
        if record is None:
            raise Refusal(
                "no word error rates", where=self.files.where / place / WORDS, do="delete the folder and score again"
            )
        return {key: WordRate(**{name: value[name] for name in names}) for key, value in record.items()}

    def _kaldi(self) -> dict[str, dict[str, WordRate]]:
        if not self.files.holds("all"):
            return {}
        places = sorted(place for place in self.infos if re.fullmatch(r"all/score/[^/]+", place))
        if not places:
            self.missing["all/score"] = "score"
        return {place.rpartition("/")[2]: self._words(place) for place in places}


def _score(values: Mapping[str, Any]) -> Score:
    return Score(**{entry.name: values[entry.name] for entry in fields(Score)})


def _model_prints(info: Mapping[str, Any]) -> set[str]:
    return {value for name, value in info.get("inputs", {}).items() if name.startswith("model_")}


def _ensemble_size(infos: Iterable[Mapping[str, Any] | None]) -> int:
    return max((len(info["members"]) for info in infos if info), default=0)


def _number(name: str) -> tuple[int, str]:
    digits = re.search(r"(\d+)$", name)
    return int(digits.group(1)) if digits else -1, name
