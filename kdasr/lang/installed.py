"""Data files of installed Python packages, which are not imported."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from kdasr.refusal import Refusal


def data_file(package: str, version: str, file: str, do: str) -> Path:
    """A file of an installed package.

    Args:
        package: its name.
        version: the one whose file is known.
        file: its path, from where packages lie.
        do: the way out where it is not installed.

    Raises:
        Refusal: the package is not installed, or in another version.
    """
    try:
        found = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        raise Refusal(f"the package {package} is not installed", do=do) from None
    if found.version != version:
        raise Refusal(f"another version of the package {package}", expected=version, found=found.version, do=do)
    return Path(str(found.locate_file(file)))
