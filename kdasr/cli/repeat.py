"""`kdasr --for NAME=A,B VERB ...`: one call of a verb for each value, in one process that starts once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from kdasr.refusal import Refusal

FLAG = "--for"


def calls(arguments: Sequence[str]) -> list[list[str]]:
    """The command lines that `arguments` stands for: `{NAME}` of what follows replaced by each value.

    Args:
        arguments: of `kdasr`; several `--for` in front give every combination, the last one's values changing fastest.

    Raises:
        Refusal: values that are no `NAME=A,B`, a name given twice, or a name that no argument holds in braces.
    """
    rest, values = list(arguments), dict[str, list[str]]()
    while rest and rest[0].partition("=")[0] == FLAG:
        _, given, text = rest.pop(0).partition("=")
        if not given:
            text = rest.pop(0) if rest else ""
        name, chosen = _read(text)
        if name in values:
            raise Refusal("a name given twice", where=f"{FLAG} {text}", do="join its values by commas")
        values[name] = chosen
    for name in values:
        if not any(f"{{{name}}}" in argument for argument in rest):
            found = " ".join(rest) or "nothing"
            raise Refusal("no argument says where", where=f"{FLAG} {name}", expected=f"{{{name}}}", found=found)
    combinations = (dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values()))
    return [[_filled(argument, combination) for argument in rest] for combination in combinations]


def _read(text: str) -> tuple[str, list[str]]:
    name, given, chosen = text.partition("=")
    values = chosen.split(",")
    if not given or not name.isidentifier() or not all(values) or len(set(values)) < len(values):
        raise Refusal("not a name and its values", where=f"{FLAG} {text}", expected="NAME=A,B with values that differ")
    return name, values


def _filled(argument: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), argument)
