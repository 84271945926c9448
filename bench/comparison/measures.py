"""What two runs are compared on: the direction, the threshold and the test of each measure.

Nothing here depends on methods or tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.errors import UsageError
from bench.records.record import Record
from bench.suggestions import suggest


@dataclass(frozen=True)
class Measure:
    """One number of a record.

    name: its column of the CSV. label: its name in tables for people. higher_is_better: None is as the record's metric
    says. threshold: a change for the worse up to this one does not matter; in units of the score, or, if relative, as a
    share of the base's value (0.1 is 10 %).

    test: "paired" is by seed and by example; "log-ratio" is on the logarithms of new over base, against the noise
    of a machine; "exact" has no noise, so that the threshold decides alone.

    cautious: the threshold of a "log-ratio" where the machine's noise is not known. same: what must be the same for the
    numbers to be comparable: the "machine" (its kind, and its own speed), the kind of "memory" that was measured.
    """

    name: str
    label: str
    read: Callable[[Record], float | None]
    higher_is_better: bool | None
    threshold: float
    relative: bool
    test: Literal["paired", "log-ratio", "exact"]
    cautious: float | None = None
    same: Literal["machine", "memory"] | None = None


def _of(part: str, name: str) -> Callable[[Record], Any]:
    return lambda record: getattr(getattr(record, part), name, None)


# The cautious threshold of throughput is above what `bench.comparison.judge` lets a machine's own speed differ by.
# Memory in live tensors has no noise of the machine, and needs none.
MEASURES = (
    Measure("score", "score", lambda record: record.score, None, 0.01, False, "paired"),
    Measure(
        "train_examples_per_second", "train ex/s", _of("speed", "train_examples_per_second"),
        True, 0.10, True, "log-ratio", 0.20, "machine",
    ),
    Measure(
        "eval_examples_per_second", "eval ex/s", _of("speed", "eval_examples_per_second"),
        True, 0.10, True, "log-ratio", 0.20, "machine",
    ),
    Measure(
        "peak_train_memory_mib", "train MiB", _of("memory", "train_peak_mib"),
        False, 0.05, True, "log-ratio", 0.05, "memory",
    ),
    Measure(
        "peak_eval_memory_mib", "eval MiB", _of("memory", "eval_peak_mib"),
        False, 0.05, True, "log-ratio", 0.05, "memory",
    ),
    Measure("trainable_params", "trained", _of("parameters", "trainable"), False, 0.0, True, "exact"),
    Measure("adapter_bytes", "bytes", lambda record: record.adapter_bytes, False, 0.01, True, "exact"),
)  # fmt: skip
NOISY = tuple(measure for measure in MEASURES if measure.test == "log-ratio")


def with_thresholds(texts: Iterable[str]) -> tuple[Measure, ...]:
    """The table with some thresholds replaced, the cautious ones too; texts: `score=0.02`, `adapter_bytes=5%`.

    Raises:
        UsageError: for an unknown name, or what is not a threshold.
    """
    measures = {measure.name: measure for measure in MEASURES}
    for text in texts:
        name, _, value = text.partition("=")
        name, share = name.strip(), value.endswith("%")
        try:
            number = float(value.removesuffix("%")) / (100 if share else 1)
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf"):
            raise UsageError(f"--threshold {text!r} is not NAME=VALUE with a VALUE of 0 or more, such as score=0.02.")
        if name not in measures:
            raise UsageError(f"There is no measure {name!r} to set a threshold for{suggest(name, measures)}")
        if share and not measures[name].relative:
            raise UsageError(f"--threshold {text!r}: a {name}'s threshold is not a share, write {name}=0.02.")
        measures[name] = replace(measures[name], threshold=number, cautious=measures[name].cautious and number)
    return tuple(measures.values())
