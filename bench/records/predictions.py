"""What a comparison needs of a record's answers: what they were to, and what each of them contributes to the score."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property, singledispatch
from typing import Any

from bench.records.record import Record
from bench.stats.contributions import Floats, contributions


class Answers:
    """The answers to the test split of a record; each is worked out when it is first asked for.

    predictions, references: digests, equal where these are. contributions: [examples], None where they are not
    defined; see bench.stats.contributions.
    """

    def __init__(self, record: Record) -> None:
        self._record = record

    @cached_property
    def predictions(self) -> str:
        return _digest(self._record.predictions)

    @cached_property
    def references(self) -> str:
        return _digest(self._record.references)

    @cached_property
    def contributions(self) -> Floats | None:
        record = self._record
        labels = record.data.labels if record.data else None
        try:
            return contributions(str(record.metric), record.predictions, record.references, labels)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return None  # of another metric, or of answers that are none of this one


@singledispatch
def answers_of(record: Record) -> Answers:
    """The answers of a record, by its kind: bench.index keeps those of its own."""
    return Answers(record)


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()
