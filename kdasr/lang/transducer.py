"""Transducers as arrays, and the way between them and kaldifst: OpenFST's binary file of a constant transducer.

A file of text or a loop over arcs takes minutes where there are millions.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HEADER = np.dtype(
    [
        ("magic", "<i4"),
        ("type_length", "<i4"),
        ("type", "S5"),
        ("arc_length", "<i4"),
        ("arc", "S8"),
        ("version", "<i4"),
        ("flags", "<i4"),
        ("properties", "<u8"),
        ("start", "<i8"),
        ("num_states", "<i8"),
        ("num_arcs", "<i8"),
    ]
)
STATE = np.dtype([("final", "<f4"), ("first_arc", "<u4"), ("num_arcs", "<u4"), ("epsilons", "<u4", 2)])
ARC = np.dtype([("label", "<i4"), ("word", "<i4"), ("cost", "<f4"), ("target", "<i4")])
MAGIC, VERSION, EXPANDED = 2125659606, 2, 1


@dataclass(frozen=True)
class Transducer:
    """A transducer with tropical weights.

    Attributes:
        start: state; -1 of a transducer without states.
        final: cost of ending in each state, infinite where none may end, (num_states,) float32.
        source: state that an arc leaves, in rising order, (num_arcs,) int32.
        arcs: its label, word, cost and target, (num_arcs,) of dtype `ARC`.
    """

    start: int
    final: np.ndarray
    source: np.ndarray
    arcs: np.ndarray

    @classmethod
    def of(cls, transducer: Any) -> Transducer:
        """The arrays of a transducer of kaldifst."""
        import kaldifst

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fst"
            kaldifst.StdConstFst(transducer).write(str(path))
            content = np.fromfile(path, np.uint8)
        header = content[: HEADER.itemsize].view(HEADER)[0]
        states, arcs = np.split(content[HEADER.itemsize :], [int(header["num_states"]) * STATE.itemsize])
        source = np.repeat(np.arange(int(header["num_states"]), dtype=np.int32), states.view(STATE)["num_arcs"])
        return cls(int(header["start"]), states.view(STATE)["final"].copy(), source, arcs.view(ARC))

    def fst(self) -> Any:
        """The transducer of kaldifst, arcs in the order of the arrays."""
        import kaldifst

        header, states = np.zeros(1, HEADER), np.zeros(len(self.final), STATE)
        values = (MAGIC, 5, b"const", 8, b"standard", VERSION, 0, EXPANDED, self.start, len(self.final), len(self.arcs))
        header[0] = values
        count = np.bincount(self.source, minlength=len(self.final))
        states["final"], states["num_arcs"], states["first_arc"] = self.final, count, np.cumsum(count) - count
        for side, name in enumerate(("label", "word")):
            epsilons = self.source[self.arcs[name] == 0]
            states["epsilons"][:, side] = np.bincount(epsilons, minlength=len(self.final))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "fst"
            with path.open("wb") as file:
                for part in (header, states, self.arcs):
                    part.tofile(file)
            return kaldifst.StdVectorFst(kaldifst.StdConstFst.read(str(path)))
