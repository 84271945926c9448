"""What two runs are compared on, in one table: which way is better, how much matters, how noise is told from change.

Nothing here depends on methods or tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bench.errors import UsageError
from bench.records.record import Record
from bench.suggestions import suggest

Test = Literal["paired", "log-ratio", "exact"]


@dataclass(frozen=True)
class Quantity:
    """One number of a record.

    name: the column of the CSV that it stands in. label: what a table for people calls it. higher_is_better: None
    is as the record's metric says. threshold: a change for the worse up to this one does not matter; in units of
    the score, or, if relative, as a share of the base's value (0.1 is 10 %).

    test: "paired" is by seed and by example; "log-ratio" is on the logarithms of new over base, against the noise
    of a machine; "exact" has no noise, so that the threshold decides alone.

    cautious: the threshold of a "log-ratio" where the machine's own noise is not known.

    alike: what must be the same for the numbers to mean the same: "machine" (same kind, and as fast as then),
    "memory" (memory measured in the same way), or nothing.
    """

    name: str
    label: str
    read: Callable[[Record], float | None]
    higher_is_better: bool | None
    threshold: float
    relative: bool
    test: Test
    cautious: float | None = None
    alike: Literal["machine", "memory"] | None = None


# The cautious threshold of throughput is above what `bench.comparison.conditions` lets a machine's own speed differ by.
# That of memory leaves room for what allocators may do from run to run: little while training; the peak of an
# evaluation's large batches depends on what a warm worker did before, by a fifth (measured on suite `ci`).
QUANTITIES = (
    Quantity("score", "score", lambda r: r.score, None, 0.01, False, "paired"),
    Quantity(
        "train_examples_per_second", "train ex/s",
        lambda r: r.exclusive_speed.train_examples_per_second if r.exclusive_speed else None,
        True, 0.10, True, "log-ratio", 0.20, "machine",
    ),
    Quantity(
        "eval_examples_per_second", "eval ex/s",
        lambda r: r.exclusive_speed.eval_examples_per_second if r.exclusive_speed else None,
        True, 0.10, True, "log-ratio", 0.20, "machine",
    ),
    Quantity(
        "peak_train_memory_mib", "train MiB", lambda r: r.memory.train_peak_mib if r.memory else None,
        False, 0.05, True, "log-ratio", 0.15, "memory",
    ),
    Quantity(
        "peak_eval_memory_mib", "eval MiB", lambda r: r.memory.eval_peak_mib if r.memory else None,
        False, 0.05, True, "log-ratio", 0.30, "memory",
    ),
    Quantity(
        "trainable_params", "trained", lambda r: r.parameters.trainable if r.parameters else None,
        False, 0.0, True, "exact",
    ),
    Quantity("adapter_bytes", "bytes", lambda r: r.adapter_bytes, False, 0.01, True, "exact"),
)  # fmt: skip
NOISY = tuple(quantity for quantity in QUANTITIES if quantity.test == "log-ratio")


def with_thresholds(changed: Mapping[str, float]) -> tuple[Quantity, ...]:
    """The table with some thresholds replaced; what the user asks for holds where the noise is not known, too.

    Raises:
        UsageError: for a name that is none.
    """
    names = [quantity.name for quantity in QUANTITIES]
    for name in changed:
        if name not in names:
            raise UsageError(f"There is no quantity {name!r} to set a threshold for{suggest(name, names)}")
    return tuple(
        replace(quantity, threshold=changed[quantity.name], cautious=quantity.cautious and changed[quantity.name])
        if quantity.name in changed
        else quantity
        for quantity in QUANTITIES
    )


def parse_threshold(text: str) -> tuple[str, float]:
    """`adapter_bytes=0.05` or `adapter_bytes=5%`: a name and a threshold.

    Raises:
        UsageError: if it is not that.
    """
    name, _, value = text.partition("=")
    share = value.endswith("%")
    try:
        number = float(value.removesuffix("%")) / (100 if share else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise UsageError(f"--threshold {text!r} is not NAME=VALUE with a value of 0 or more, such as adapter_bytes=5%.")
    if share and name == "score":
        raise UsageError(f"--threshold {text!r}: a score's threshold is in units of the score, such as score=0.02.")
    return name.strip(), number
