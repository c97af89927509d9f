"""Options and facts as JSON, and where two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

# An option does nothing so, the program chooses, or it is as it was before there was a choice.
OFF: tuple[Any, ...] = (None, False, 0, "", "auto", "random", "uniform", [], {})


def plain(value: object) -> Any:
    """`value` as JSON types only: dataclasses become dicts, tuples lists, paths strings."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def first_difference(before: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first key path at which two JSON values differ, with both values; None if they are the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            if found := first_difference(before.get(key), now.get(key), f"{name}.{key}" if name else str(key)):
                return found
        return None
    return None if before == now else (name, before, now)


def option_difference(before: Any, now: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first key path at which recorded options and present ones differ, with both values; None without one.

    An option that an older version had not yet makes no difference while it is at its default and off.

    Args:
        before: JSON.
        now: a dataclass, or JSON with some in it, whose own defaults count.
        name: of the options.
    """
    return first_difference(_with_newer(before, plain(now), _defaults(now)), plain(now), name)


def _defaults(options: Any) -> Any:
    """The defaults of dataclasses; of other options, which have none, the values themselves."""
    if isinstance(options, Mapping):
        return {key: _defaults(value) for key, value in options.items()}
    if not is_dataclass(options) or isinstance(options, type):
        return plain(options)
    return {
        each.name: plain(getattr(type(options), each.name, getattr(options, each.name))) for each in fields(options)
    }


def _with_newer(before: Any, now: Any, defaults: Any) -> Any:
    """Options of a record, and those of the present ones that it lacks and that change nothing."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return before
    newer = {key: value for key, value in now.items() if key not in before and _is_off(value, defaults.get(key))}
    return newer | {key: _with_newer(value, now.get(key), defaults.get(key) or {}) for key, value in before.items()}


def _is_off(value: Any, default: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_off(each, (default or {}).get(key)) for key, each in value.items())
    return value in OFF and value == default
