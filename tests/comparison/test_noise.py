"""The A/A model: spreads worked out by hand and by simulation, and a test that is wrong as often as it says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from made import MACHINE, failed, measured, memory
from scipy import stats

from bench.comparison import noise
from bench.comparison.noise import RESOLUTION, RatioTest, Spread, anova, estimate, log_ratio, spread_over_seeds
from bench.errors import UsageError
from bench.records.machines import MachineKind, machine_kind
from bench.records.record import Record

KIND = MachineKind(cpu_model="A CPU", cpu_cores=2)


def spread(between: float | None = 0.02, within: float = 0.05, cells: int = 18, runs: int = 5) -> Spread:
    between_df = 0 if between is None else runs - 1
    return Spread(
        between_sd=between, within_sd=within, between_df=between_df, within_df=(cells - 1) * (runs - 1), cells=cells
    )


def ratio_test(ratios: list[float], known: Spread | None, seen: Spread | None = None) -> RatioTest:
    found = noise.ratio_test(ratios, known, seen)
    assert found is not None
    return found


# Two spreads from a table of cells and runs


def test_the_mean_squares_by_hand() -> None:
    # Cells 1 and 5; run effects -1, 0, 1; rests of +-0.5 that sum to nothing in every row and column.
    values = np.array([[0.5, 0.5, 2.0], [3.5, 5.5, 6.0]])
    # Means of runs: 2, 3, 4, of all: 3. MS_run = 2 * (1 + 0 + 1) / 2 = 2. Means of cells: 1 and 5, so that the rests
    # are 0.5, -0.5, 0 and their opposites: MS_rest = 1 / 2. within² = 0.5, between² = (2 - 0.5) / 2 = 0.75.
    found = anova(values)
    assert (found.within_sd, found.between_sd) == pytest.approx((math.sqrt(0.5), math.sqrt(0.75)), rel=1e-12)
    assert (found.between_df, found.within_df, found.cells) == (2, 2, 2)
    # What a cell is does not matter.
    assert anova(values + np.array([[7.0], [-100.0]])).model_dump() == pytest.approx(found.model_dump(), rel=1e-9)
    # Runs with the same mean: MS_run is 0, and an unbiased estimate of between² would be negative.
    agreeing = anova(np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert (agreeing.between_sd, agreeing.within_sd) == (0.0, pytest.approx(1.0))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_one_cell_or_one_run_cannot_tell(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="two cells and two runs"):
        anova(np.zeros(shape))


def test_the_spread_over_seeds_by_hand() -> None:
    # Deviations -0.1, 0, 0.1 and -0.05, 0.05: squares sum to 0.025, over 3 degrees of freedom, over 2 runs.
    found = spread_over_seeds([[0.2, 0.3, 0.4], [1.0, 1.1], [7.0], []])
    assert found is not None
    assert found.within_sd == pytest.approx(math.sqrt(0.025 / 3 / 2))
    assert (found.between_sd, found.within_df) == (None, 3)
    assert spread_over_seeds([[0.2], []]) is None


# The test of one row


def test_standard_error_and_degrees_of_freedom_are_those_of_the_model() -> None:
    found = ratio_test([-0.1, -0.2, -0.3], spread(0.02, 0.05, cells=18, runs=5))
    assert found.mean == pytest.approx(-0.2)
    assert found.error == pytest.approx(math.sqrt(2 * 0.02**2 + 2 * 0.05**2 / 3), rel=1e-12)
    # Satterthwaite's formula.
    run_square, rest_square = 0.05**2 + 18 * 0.02**2, 0.05**2
    parts = (2 / 18 * run_square, 2 * (1 / 3 - 1 / 18) * rest_square)
    assert found.error**2 == pytest.approx(sum(parts), rel=1e-12)
    assert found.df == pytest.approx(sum(parts) ** 2 / (parts[0] ** 2 / 4 + parts[1] ** 2 / 68), rel=1e-12)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.2 / found.error, found.df), rel=1e-9)


def test_without_noise_between_runs_it_is_a_t_test_within() -> None:
    seen = Spread(between_sd=None, within_sd=0.05, between_df=0, within_df=12, cells=18)
    found = ratio_test([0.1, 0.1], None, seen)
    assert found.df == pytest.approx(12)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.1 / 0.05, 12), rel=1e-9)


def test_the_larger_noise_counts_and_none_at_all_is_not_believed() -> None:
    quiet, loud = (ratio_test([0.1] * 3, spread(0.0, 0.01), spread(None, within)) for within in (0.005, 0.2))
    assert quiet.p_value < 0.001 < 0.05 < loud.p_value
    none = ratio_test([0.001], spread(0.0, 0.0))
    assert none.error >= RESOLUTION
    assert none.p_value > 0.5
    assert noise.ratio_test([0.1, 0.1], None, None) is noise.ratio_test([], spread(), None) is None
    assert log_ratio(2.0, 1.0) == pytest.approx(-math.log(2))
    assert log_ratio(None, 1.0) is log_ratio(1.0, None) is log_ratio(0.0, 1.0) is log_ratio(1.0, -1.0) is None


@pytest.mark.parametrize(("between", "within"), [(0.0, 0.05), (0.01, 0.05), (0.05, 0.05), (0.05, 0.005)])
def test_without_a_change_the_test_is_wrong_as_often_as_it_says(between: float, within: float) -> None:
    """Each time the noise is estimated anew from an A/A run, as users do."""
    drawn = np.random.default_rng(2)
    times, cells, runs, seeds = 1000, 18, 5, 3
    wrong = 0
    for _ in range(times):
        known = anova(drawn.normal(0, between, runs) + drawn.normal(0, within, (cells, runs)))
        drift, rest = drawn.normal(0, between, 2), drawn.normal(0, within, (2, seeds))
        wrong += ratio_test(list(drift[1] + rest[1] - drift[0] - rest[0]), known).p_value < 0.05
    assert 0.015 < wrong / times < 0.05 + 3 * math.sqrt(0.05 * 0.95 / times)


def test_the_detectable_change_is_detected_four_times_of_five() -> None:
    drawn = np.random.default_rng(3)
    known, times, seen = spread(0.01, 0.04, cells=200, runs=200), 1500, 0
    detectable = ratio_test([0.0] * 3, known).detectable
    for _ in range(times):
        ratios = drawn.normal(0, 0.01 * math.sqrt(2)) + drawn.normal(0, 0.04 * math.sqrt(2), 3)
        seen += ratio_test(list(ratios - detectable), known).p_value < 0.05
    assert seen / times == pytest.approx(0.8, abs=0.03)


# From records to noise.json


def runs(drift: tuple[float, ...] = (0.9, 1.0, 1.1), cells: int = 3) -> list[dict[str, Record]]:
    return [{(r := measured("a", s, train=50 * d)).id: r for s in range(cells)} for d in drift]


def test_the_noise_of_an_aa_run(tmp_path: Path) -> None:
    table = [{id: r.model_copy(update={"memory": memory(eval_peak_mib=None)})
              for id, r in run.items()} for run in runs(cells=4)]  # fmt: skip
    broken = failed("a", 1)
    table[1][broken.id] = broken  # failed once: left out
    found = estimate(table, "0.1.0")
    assert (found.repeats, found.cells, found.profile, found.machine) == (3, 3, "cpu", KIND)
    # All cells drift alike: all of it is between runs.
    assert "peak_eval_memory_mib" not in found.quantities  # which no cell has
    speed, train_mib = found.quantities["train_examples_per_second"], found.quantities["peak_train_memory_mib"]
    assert speed.between_sd == pytest.approx(np.std(np.log([0.9, 1.0, 1.1]), ddof=1))
    assert speed.within_sd == pytest.approx(0.0, abs=1e-9)
    assert (train_mib.between_sd, train_mib.within_sd) == (0.0, 0.0)
    (tmp_path / noise.FILE).write_text(found.to_json(), encoding="utf-8")
    assert noise.load(tmp_path / noise.FILE) == found
    assert set(json.loads(found.to_json())["machine"]) == {"cpu_model", "cpu_cores", "gpus"}  # and no host


OTHER_MACHINE = {(r := measured("a", s, machine={**MACHINE, "cpu_model": "B CPU"})).id: r for s in range(3)}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ([], "at least two runs and two cells"),
        (runs()[:1], "at least two runs and two cells"),
        (runs(cells=1), "at least two runs and two cells"),
        ([*runs()[:1], OTHER_MACHINE], "one kind of machine"),
    ],
)
def test_runs_without_an_estimate(table: list[dict[str, Record]], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        estimate(table, "0.1.0")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (None, "does not hold the noise"),
        ({"schema_version": 9}, "schema_version"),
        ({"quantities": {"x": {**spread().model_dump(), "within_sd": -1}}}, "within_sd"),
    ],
)
def test_a_file_that_is_no_noise(changes: dict[str, object] | None, reason: str, tmp_path: Path) -> None:
    file = tmp_path / noise.FILE
    with pytest.raises(UsageError, match="cannot be read"):
        noise.load(file)
    good = json.loads(estimate(runs(), "0.1.0").to_json())
    file.write_text("{" if changes is None else json.dumps({**good, **changes}), encoding="utf-8")
    with pytest.raises(UsageError, match=reason):
        noise.load(file)


def test_a_machine_kind_in_words() -> None:
    assert str(KIND) == "A CPU, 2 cores"
    unknown = MachineKind(cpu_model=None, cpu_cores=None, gpus=("B GPU",))
    assert str(unknown) == "unknown CPU, an unknown number of cores, B GPU"
    assert machine_kind(measured(machine=None)) is None
