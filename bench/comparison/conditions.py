"""Whether two figures mean the same: the same kind of machine, as fast as it was then, memory measured alike."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bench.comparison.measures import Quantity
from bench.comparison.noise import log_ratio
from bench.comparison.rows import Pair
from bench.records.machines import machine_kind
from bench.records.record import Record

MACHINE_TOLERANCE = 0.15  # how much a machine's own speed may differ before throughput says nothing about the code


def obstacle(quantity: Quantity, pair: Pair) -> str | None:
    """Why this quantity of this pair cannot be judged; None: it can."""
    if quantity.test == "log-ratio" and not pair.same_profile:
        return "other profile"
    if quantity.alike == "machine":
        return _other_machine(pair) or _other_speed(pair)
    return _other_memory(pair) if quantity.alike == "memory" else None


def machine_ratio(pair: Pair) -> float | None:
    """How fast the machine itself was, now over then, by the probe beside each cell; None: it was not measured.

    The geometric mean over the seeds that both have: as the row's throughput is averaged.
    """
    ratios = [log_ratio(_gflops(pair.base[seed]), _gflops(pair.new[seed])) for seed in pair.common]
    known = [ratio for ratio in ratios if ratio is not None]
    return math.exp(sum(known) / len(known)) if known else None


def unsteady(pairs: Iterable[Pair]) -> str | None:
    """Why no throughput of two runs can be judged where only their own spread shows the noise; None: it can.

    A probe takes a tenth of a second beside a cell of many, on one core. Where some rows' probes say that the machine
    was not as fast as it was, something else was at work on it, and the other rows' probes may just have missed it.
    """
    ratios = [ratio for pair in pairs if not pair.extra and (ratio := machine_ratio(pair)) is not None]
    if all(_alike(ratio) for ratio in ratios):
        return None
    return f"the machine was unsteady, at {min(ratios):.2f} to {max(ratios):.2f} of its speed then"


def _alike(ratio: float) -> bool:
    return abs(math.log(ratio)) <= math.log(1 + MACHINE_TOLERANCE)


def _other_machine(pair: Pair) -> str | None:
    base, new = _machines(pair.base, pair.common), _machines(pair.new, pair.common)
    if "unknown" in (base, new):
        return "the machine is not recorded"
    return None if base == new else f"other machine ({base}; {new})"


def _other_speed(pair: Pair) -> str | None:
    ratio = machine_ratio(pair)
    if ratio is None or _alike(ratio):
        return None
    return f"the machine itself ran at {ratio:.2f} of its speed then"


def _other_memory(pair: Pair) -> str | None:
    base, new = ({r.memory.kind for r in records if r.memory} for records in _records(pair))
    if None in base | new or not base or not new:
        return "memory was not measured"
    return None if base == new else f"memory measured otherwise ({_names(base)}; {_names(new)})"


def _records(pair: Pair) -> tuple[list[Record], list[Record]]:
    return [pair.base[seed] for seed in pair.common], [pair.new[seed] for seed in pair.common]


def _machines(records: dict[int, Record], seeds: Iterable[int]) -> str:
    kinds = {machine_kind(records[seed]) for seed in seeds}
    return "unknown" if None in kinds or not kinds else " and ".join(sorted(map(str, kinds)))


def _names(kinds: Iterable[str | None]) -> str:
    return " and ".join(sorted(str(kind) for kind in kinds))


def _gflops(record: Record) -> float | None:
    return record.speed.machine_gflops if record.speed else None  # records of before schema 3 have none
