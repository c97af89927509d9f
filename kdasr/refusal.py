"""The one exception for bad input: what, where, what was expected, what was found, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class Refusal(Exception):
    """Input that cannot be used; its text is the one line that the user reads.

    Args:
        what: the fault in a few words, e.g. "the audio has two channels".
        where: file, folder, utterance or option at fault.
        expected: what would have been right.
        found: what was there instead.
        do: the way out, an instruction or a command.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        expected: object = None,
        found: object = None,
        do: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.found, self.do = what, where, expected, found, do
        line = what if where is None else f"{where}: {what}"
        facts = [f"expected {expected}"] if expected is not None else []
        facts += [f"found {found}"] if found is not None else []
        line += f" ({', '.join(facts)})" if facts else ""
        super().__init__(line + (f"; {do}" if do else ""))

    def __reduce__(
        self,
    ) -> tuple[object, ...]:  # keyword arguments survive the way back from a worker process
        return _rebuild, (self.what, self.where, self.expected, self.found, self.do)


def _rebuild(what: str, where: str | None, expected: object, found: object, do: str | None) -> Refusal:
    return Refusal(what, where=where, expected=expected, found=found, do=do)


def unknown_name(kind: str, name: str, known: Iterable[str], where: str | Path | None = None) -> Refusal:
    """A refusal of `name` that suggests the nearest known name, or lists them all."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    do = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return Refusal(f"unknown {kind} {name!r}", where=where, do=do)
