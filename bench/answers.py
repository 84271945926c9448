"""What a comparison needs of a record's answers: what they were to, and what each of them contributes to the score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.record import Record
from bench.stats.contributions import Floats, contributions


@dataclass(frozen=True)
class Answers:
    """predictions, references: digests, equal where these are. contributions: [examples]; see
    bench.stats.contributions."""

    predictions: str
    references: str
    contributions: Floats | None


def answers_of(record: Record) -> Answers:
    """The answers to the test split of a record."""
    labels = record.data.labels if record.data else None
    return Answers(
        predictions=_digest(record.predictions),
        references=_digest(record.references),
        contributions=contributions(str(record.metric), record.predictions, record.references, labels),
    )


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
