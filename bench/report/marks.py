"""The mark of each method: a colour and a shape, the same in every table and every chart of a report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

COLOURS = 7  # the custom properties --c0 to --c6 of report.css, one set for each theme
_TRIANGLE = "M0,-1L0.95,0.75L-0.95,0.75Z"
_STAR = (
    "M0,-1L0.27,-0.37L0.95,-0.31L0.43,0.14L0.59,0.81L0,0.45L-0.59,0.81L-0.43,0.14L-0.95,-0.31L-0.27,-0.37Z"
)  # fmt: skip
# SVG paths within [-1, 1], as Vega takes them. Seven colours and eight shapes make 56 marks before one comes again.
SHAPES = (
    "M0.85,0A0.85,0.85,0,1,1,-0.85,0A0.85,0.85,0,1,1,0.85,0Z",
    "M-0.75,-0.75H0.75V0.75H-0.75Z",
    _TRIANGLE,
    "M0,-1L0.85,0L0,1L-0.85,0Z",
    "M-0.32,-0.95H0.32V-0.32H0.95V0.32H0.32V0.95H-0.32V0.32H-0.95V-0.32H-0.32Z",
    "M0,1L0.95,-0.75L-0.95,-0.75Z",
    _STAR,
    "M-0.95,-0.6L-0.6,-0.95L0,-0.35L0.6,-0.95L0.95,-0.6L0.35,0L0.95,0.6L0.6,0.95L0,0.35L-0.6,0.95L-0.95,0.6L-0.35,0Z",
)


class Mark(NamedTuple):
    """colour: which of the theme's colours. shape: an SVG path within [-1, 1]."""

    colour: int
    shape: str

    @property
    def paint(self) -> str:
        """The colour as CSS, so that a chart follows the theme without being drawn again."""
        return f"var(--c{self.colour})"


def assign(labels: Iterable[str]) -> dict[str, Mark]:
    """A mark for each label, in alphabetical order, so that the order of records plays no part."""
    ordered = sorted(set(labels))
    return {label: Mark(at % COLOURS, SHAPES[at % len(SHAPES)]) for at, label in enumerate(ordered)}
