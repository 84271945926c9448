"""How often a whole comparison cries wolf, and how often it sees what is there: by simulation, on records made by hand.

A simulated run has six rows at three seeds. Its scores are those of answers drawn anew for every run (harder than
life, where the same code gives the same answers), to examples of which some are hard and some are easy; its
throughput has a noise of whole runs and of cells. Memory, counted in tensors, is the same in each. The noise that
`compare` is given is estimated anew each time, from an A/A run of five that is simulated as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from made import MACHINE, measured

from bench.comparison.judge import RunComparison, compare_runs
from bench.comparison.measures import MEASURES, NOISY
from bench.comparison.noise import MachineKind, Noise, anova
from bench.records.record import Record

ANSWERS = ("scores", "predictions")
METHODS, SEEDS, EXAMPLES, RUNS = ("a", "b", "c", "d", "e", "f"), 3, 200, 5
EASE = np.random.default_rng(7).normal(1.8, 2.0, EXAMPLES)  # logits of right answers: three of four are right
STRICT = tuple(replace(measure, threshold=0.0, cautious=measure.cautious and 0.0) for measure in MEASURES)


@dataclass(frozen=True)
class World:
    """The truth: standard deviations of the logarithms, and what a change does to method "a", or to all."""

    between: float = 0.02
    within: float = 0.03
    seed_sd: float = 0.03  # of the logit of a right answer, from training to training
    slower: float = 1.0  # what all training throughput is multiplied by
    worse: float = 0.0  # what the logit of method a's right answers loses
    others_stay: bool = False  # whether all methods but "a" answer to the bit as they did


def run(world: World, draw: np.random.Generator, changed: bool) -> list[Record]:
    drift = {measure.name: draw.normal(0, world.between) for measure in NOISY}

    def noisy(name: str, value: float) -> float:
        return value * math.exp(drift[name] + draw.normal(0, world.within))

    def cell(method: str, seed: int) -> Record:
        lost = world.worse if changed and method == "a" else 0.0
        logits = EASE + draw.normal(0, world.seed_sd) - lost
        right = (draw.random(EXAMPLES) < 1 / (1 + np.exp(-logits))).astype(int)
        return measured(
            method, seed, None, metric="accuracy", scores={"accuracy": float(right.mean())},
            predictions=right.tolist(), references=[1] * EXAMPLES,
            train=noisy("train_examples_per_second", 50.0) * (world.slower if changed else 1.0),
            evaluation=noisy("eval_examples_per_second", 200.0),
            train_mib=900.0, eval_mib=700.0,
        )  # fmt: skip

    return [cell(method, seed) for method in METHODS for seed in range(SEEDS)]


def aa_noise(world: World, draw: np.random.Generator) -> Noise:
    cells = len(METHODS) * SEEDS
    values = {m.name: draw.normal(0, world.between, RUNS) + draw.normal(0, world.within, (cells, RUNS)) for m in NOISY}
    machine = MachineKind(cpu_model=str(MACHINE["cpu_model"]), cpu_cores=2)
    spreads = {name: anova(each) for name, each in values.items()}
    return Noise(bench_version="0", profile="cpu", machine=machine, repeats=RUNS, cells=cells, quantities=spreads)


def comparisons(world: World, times: int, *, known: bool = True, strict: bool = False) -> Iterator[RunComparison]:
    draw = np.random.default_rng(0)
    for _ in range(times):
        base, new = run(world, draw, changed=False), run(world, draw, changed=True)
        if world.others_stay:
            new = [
                now if now.cell.method == "a" else now.model_copy(update={name: getattr(old, name) for name in ANSWERS})
                for old, now in zip(base, new, strict=True)
            ]
        noise = aa_noise(world, draw) if known else None
        yield compare_runs(base, new, noise=noise, measures=STRICT if strict else MEASURES)


@pytest.fixture(autouse=True)
def _no_power_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test could detect is not needed here, and costs more than all the rest."""
    monkeypatch.setattr("bench.comparison.noise.minimum_detectable", lambda error, df: 0.0)
    monkeypatch.setattr("bench.stats.combined.minimum_detectable", lambda error, df, alpha: np.zeros_like(error))


def expected_rate(found: list[bool]) -> bool:
    """Whether these are no more than 5 %, give or take three Monte-Carlo standard errors."""
    return sum(found) / len(found) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(found))


@pytest.mark.parametrize(
    "world",
    [World(), World(between=0.0), World(between=0.05, within=0.01), World(between=0.01, within=0.1)],
    ids=["usual", "no drift", "drift", "loud cells"],
)
@pytest.mark.slow
def test_without_a_change_a_whole_comparison_rarely_finds_one(world: World) -> None:
    """No thresholds: the noise's own part is held to 5 %, for the worse and for the better."""
    found = list(comparisons(world, 600, strict=True))
    assert expected_rate([bool(each.of("regression")) for each in found])
    assert expected_rate([bool(each.of("improvement")) for each in found])


@pytest.mark.slow
def test_without_known_noise_the_cautious_thresholds_keep_drift_out() -> None:
    """Drift between runs does not show in a spread over seeds; below the cautious thresholds it does no harm."""
    assert expected_rate([each.verdict == "regression" for each in comparisons(World(between=0.03), 400, known=False)])


def named(found: RunComparison) -> set[tuple[str, str]]:
    return {(judgement.row.method, judgement.measure.name) for judgement in found.of("regression")}


def test_a_loop_that_takes_30_percent_longer_is_seen_and_nothing_else() -> None:
    found = [{name for _, name in named(each)} for each in comparisons(World(0.01, 0.03, slower=1 / 1.3), 20)]
    assert sum("train_examples_per_second" in names for names in found) >= 18
    assert sum(bool(names - {"train_examples_per_second"}) for names in found) <= 4


def test_a_loop_that_takes_30_percent_longer_is_seen_without_known_noise() -> None:
    found = comparisons(World(0.01, 0.03, slower=1 / 1.3), 20, known=False)
    assert sum(bool(each.of("regression")) for each in found) >= 16


def test_a_method_that_lost_twenty_points_is_seen_and_named() -> None:
    """The usual fault: one method's code was changed, and the others answer as they did."""
    found = list(comparisons(World(worse=1.4, others_stay=True), 20))
    a = [j for each in found for j in each.judgements if (j.row.method, j.measure.name) == ("a", "score")]
    assert np.mean([judgement.change for judgement in a]) == pytest.approx(-0.21, abs=0.03)
    assert sum(("a", "score") in named(each) for each in found) >= 17
    assert sum(bool(named(each) - {("a", "score")}) for each in found) <= 4
