"""Typed options: defaults in frozen dataclasses < `--conf` YAML < its part that `--part` names < `--set`."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdasr.refusal import Refusal, unknown_name

T = TypeVar("T")
PARTS = "parts"


def resolve(
    options: type[T],
    section: str,
    conf: str | Path | None = None,
    overrides: Sequence[str] = (),
    sections: Collection[str] = (),
    part: str | None = None,
) -> T:
    """The options of one section, resolved and type-checked.

    Args:
        options: frozen dataclass with a default for every field.
        section: its name in the YAML file and before the dot of an override.
        conf: YAML file of sections, or None.
        overrides: `section.name=value` texts; those of other known sections are passed over.
        sections: names of all sections that may stand in `conf` and `overrides`.
        part: one of the file's `parts`, tables of sections that win over the file's own: several models, one file.

    Raises:
        Refusal: unknown section, part or key (with the nearest known name), or a value of the wrong type or not finite.
    """
    known = {section, *sections}
    tree = OmegaConf.structured(options)
    OmegaConf.set_readonly(tree, False)  # as a frozen dataclass's is
    types = {field.name: field.type for field in fields(options)}  # type: ignore[arg-type]  # a dataclass
    if conf is None and part is not None:
        raise Refusal("a part of no file", where=f"--part {part}", do="name the YAML file with --conf")
    if conf is not None:
        for values in _sections(Path(conf), section, known, part):
            _take(tree, values, str(conf), section, types)
    for override in overrides:
        name, separator, value = override.partition("=")
        head, dot, key = name.partition(".")
        if not (separator and dot and key):
            raise Refusal("not an override", where=f"--set {override}", expected="--set section.name=value")
        if head not in known:
            raise unknown_name("section", head, known, f"--set {override}")
        if head == section:
            _take(tree, {key: _value(value, override)}, f"--set {override}", section, types)
    try:
        resolved: T = OmegaConf.to_object(tree)  # type: ignore[assignment]
    except ValueError as error:  # raised by __post_init__ checks
        raise Refusal(str(error), where=section) from None
    for name in tree:
        value = getattr(resolved, str(name))
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if not all(math.isfinite(number) for number in numbers if isinstance(number, float)):
            raise Refusal(f"{name} is not a finite number", where=section, found=value)
    return resolved


def _sections(conf: Path, section: str, known: Collection[str], part: str | None) -> list[dict[str, Any]]:
    """The section of the file, then that of the chosen part."""
    content = _read(conf)
    parts = {str(name): inner for name, inner in _table(content.pop(PARTS, {}), PARTS, conf).items()}
    if part is not None and part not in parts:
        raise unknown_name("part", part, parts, f"--part of {conf}")
    found = [_values(content, section, known, conf)]
    for name, inner in parts.items():  # all are checked, not the chosen one alone
        values = _values(_table(inner, f"{PARTS}.{name}", conf), section, known, conf)
        found += [values] if name == part else []
    return found


def _read(conf: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(conf.read_text(encoding="utf-8")) or {}
    except (FileNotFoundError, IsADirectoryError):
        raise Refusal("no such file", where=conf, do="name a YAML file with --conf") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refusal("not a YAML file", where=conf, found=" ".join(str(error).split())) from None
    if not isinstance(content, dict):
        raise Refusal(
            "not a table of sections",
            where=conf,
            expected="section: {name: value}",
            found=type(content).__name__,
        )
    return content


def _values(content: dict[str, Any], section: str, known: Collection[str], conf: Path) -> dict[str, Any]:
    for name in content:
        if name not in known:
            raise unknown_name("section", str(name), known, conf)
    return _table(content.get(section), f"section {section}", conf)


def _table(values: Any, what: str, conf: Path) -> dict[str, Any]:
    if not isinstance(values or {}, dict):
        raise Refusal(f"{what} is not a table", where=conf, found=values)
    return values or {}


def _value(text: str, override: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refusal("not a YAML value", where=f"--set {override}", found=" ".join(str(error).split())) from None


def _take(tree: DictConfig, values: dict[str, Any], where: str, section: str, types: dict[str, Any]) -> None:
    """Puts values in place of those before; a table or list of a study's axes too, whatever was there."""
    for name, value in values.items():
        if name not in types:
            raise unknown_name(f"option of {section}", str(name), types, where)
        try:
            OmegaConf.update(tree, str(name), value, merge=False)
        except OmegaConfBaseException as error:
            raise Refusal(
                f"{section}.{name} has the wrong type",
                where=where,
                expected=types[name],
                found=f"{value!r}",
                do=str(error).splitlines()[0],
            ) from None
