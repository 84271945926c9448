"""How much a machine's figures differ from run to run by themselves: the model of an A/A run, and the test on it.

The same cells are run k times. The logarithm of a measure of cell c in run r is modelled as

    y[c, r] = cell[c] + run[r] + rest[c, r],    run ~ N(0, between²),    rest ~ N(0, within²)

`run` is what a whole run has in common (a throttled clock, another user of the machine), `rest` what each cell has for
itself. `cell` cancels in a comparison. The spreads are two because they average out differently: more seeds reduce
`rest`, and never `run`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy.special import stdtr

from bench.comparison.measures import NOISY
from bench.errors import UsageError, first_error
from bench.records.machines import MachineKind, machine_kind
from bench.records.record import Record
from bench.stats.combined import minimum_detectable

FILE = "noise.json"
# No log ratio is trusted to be more exact: five runs that agree to the page are no proof that a sixth will.
RESOLUTION = 0.002


class Spread(BaseModel):
    """The noise of one measure, as standard deviations of its natural logarithm (0.02 is 2 %).

    between_sd: of whole runs; None: one run cannot tell. within_sd: of single cells in a run. *_df: degrees of freedom
    of the mean squares that they come from. cells: of each run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    between_sd: float | None = Field(ge=0, le=100)
    within_sd: float = Field(ge=0, le=100)
    between_df: int = Field(ge=0, le=10**9)
    within_df: int = Field(ge=1, le=10**9)
    cells: int = Field(ge=1, le=10**9)

    @model_validator(mode="after")
    def _between_has_runs(self) -> Spread:
        if self.between_sd is not None and self.between_df < 1:
            raise ValueError("between_sd is known of two runs or more, and between_df says that there were fewer")
        return self


class Noise(BaseModel):
    """`noise.json`: the noise of one profile on one kind of machine. quantities: by column of the CSV."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    bench_version: str
    profile: str
    machine: MachineKind
    repeats: int = Field(ge=2)
    cells: int = Field(ge=2)
    quantities: dict[str, Spread]

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"


@dataclass(frozen=True)
class RatioTest:
    """The log ratios of one row: their mean, its standard error, and a two-sided p by Student's t.

    detectable: the log ratio that such a test, alone and at 5 %, detects with 80 % power.
    """

    mean: float
    error: float
    df: float
    p_value: float
    detectable: float


def anova(values: np.ndarray) -> Spread:
    """Both spreads from logarithms [cells, runs], by the mean squares of a two-way layout without interaction.

        MS_run  = C * sum_r (mean[., r] - mean)² / (K - 1)                  expected: within² + C * between²
        MS_rest = sum_cr (y - mean[c, .] - mean[., r] + mean)² / ((C-1)(K-1))   expected: within²

    so within² = MS_rest and between² = (MS_run - MS_rest) / C, or 0 where that is negative (Searle, Casella and
    McCulloch, Variance Components, 1992, chapter 4).

    Raises:
        ValueError: for fewer than two cells or two runs.
    """
    cells, runs = values.shape
    if cells < 2 or runs < 2:
        raise ValueError("at least two cells and two runs are needed")
    df = runs - 1, (cells - 1) * (runs - 1)
    of_run = values.mean(axis=0) - values.mean()
    rest = values - values.mean(axis=1, keepdims=True) - of_run
    run_square = cells * float((of_run**2).sum()) / df[0]
    rest_square = float((rest**2).sum()) / df[1]
    between, within = math.sqrt(max(0.0, (run_square - rest_square) / cells)), math.sqrt(rest_square)
    return Spread(between_sd=between, within_sd=within, between_df=df[0], within_df=df[1], cells=cells)


def spread_over_seeds(rows: Sequence[Sequence[float]]) -> Spread | None:
    """The noise within runs as a comparison itself shows it; rows: log ratios of new to base.

    Ratios of one row differ by noise alone, with a variance of 2 * within²: one `rest` from each run. All rows are
    taken together, each around its own mean. `run` is in all of them alike, so it does not show. None: no row has two
    seeds.
    """
    df = sum(len(row) - 1 for row in rows if row)
    if df < 1:
        return None
    squares = sum(float(((np.asarray(row) - np.mean(row)) ** 2).sum()) for row in rows if row)
    within = math.sqrt(squares / df / 2)
    return Spread(between_sd=None, within_sd=within, between_df=0, within_df=df, cells=sum(map(len, rows)))


def ratio_test(ratios: Sequence[float], known: Spread | None, seen: Spread | None) -> RatioTest | None:
    """Whether the mean of a row's log ratios (new over base, one a seed) differs from zero.

    With n seeds the mean is that of n differences of `rest`, plus one difference of `run` that all n share:

        Var(mean) = Var(run_new - run_base) + Var(rest_new - rest_base) / n = 2 between² + 2 within² / n.

    In the mean squares of the A/A run, by their expectations above, that is

        V = (2 / C) MS_run + 2 (1/n - 1/C) MS_rest,

    a sum of independent mean squares, which Satterthwaite's formula gives V² / sum_i (a_i MS_i)² / df_i degrees of
    freedom. Where between² came out as 0, MS_run is taken as within².

    known: from an A/A run; None leaves `run` out, which only a cautious threshold makes up for. seen: from this
    comparison; it counts where it is larger within a run than the known one. The result is None where both are.
    """
    n = len(ratios)
    within = max((s for s in (known, seen) if s is not None), key=lambda s: s.within_sd, default=None)
    if not n or within is None:
        return None
    within_square = max(within.within_sd, RESOLUTION) ** 2
    parts = [(2 * within_square / n, within.within_df)]
    if known is not None and known.between_sd is not None:
        run_square = known.within_sd**2 + known.cells * known.between_sd**2
        of_runs = 2 * run_square / known.cells
        variance = max(2 * known.between_sd**2 + 2 * within_square / n, of_runs)
        parts = [(of_runs, known.between_df), (variance - of_runs, within.within_df)]
    variance = sum(part for part, _ in parts)
    df = variance**2 / sum(part**2 / df for part, df in parts)
    mean, error = float(np.mean(ratios)), math.sqrt(variance)
    p_value = float(2 * stdtr(df, -abs(mean) / error))
    return RatioTest(mean, error, df, p_value, minimum_detectable(error, df))


def log_ratio(base: float | None, new: float | None) -> float | None:
    """The natural logarithm of new over base; None where either is unknown or not positive."""
    return math.log(new / base) if base is not None and new is not None and base > 0 and new > 0 else None


def estimate(runs: Sequence[Mapping[str, Record]], bench_version: str) -> Noise:
    """The noise from the records of an A/A run: one mapping a run, records by cell id.

    A cell that did not finish in every run is left out; where it lacks a measure, for that measure only.

    Raises:
        UsageError: if fewer than two cells or two runs are left, or they are not of one profile and machine.
    """
    common = sorted(id for id in (runs[0] if runs else ()) if all(id in run and run[id].status == "ok" for run in runs))
    if len(runs) < 2 or len(common) < 2:
        raise UsageError("The noise cannot be estimated: that takes at least two runs and two cells that finish.")
    records = [run[id] for run in runs for id in common]
    profiles, kinds = {r.cell.profile.name for r in records}, {machine_kind(r) for r in records}
    kind = next(iter(kinds))
    if len(profiles) > 1 or len(kinds) > 1 or kind is None:
        raise UsageError("The noise cannot be estimated: the runs are not of one profile on one kind of machine.")
    spreads = {}
    for measure in NOISY:
        values = [[measure.read(run[id]) for run in runs] for id in common]
        known = [[math.log(v) for v in row if v] for row in values if all(v is not None and v > 0 for v in row)]
        if len(known) >= 2:
            spreads[measure.name] = anova(np.array(known))
    return Noise(
        bench_version=bench_version, profile=profiles.pop(), machine=kind, repeats=len(runs), cells=len(common),
        quantities=spreads,
    )  # fmt: skip


def load(path: Path) -> Noise:
    """Read a noise.json.

    Raises:
        UsageError: if it cannot be read, or is none.
    """
    try:
        return Noise.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValidationError as error:
        reason = ": ".join(filter(None, first_error(error)))
        raise UsageError(f"{path} does not hold the noise of a machine: {reason}.") from None
