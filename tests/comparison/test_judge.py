"""What is a regression and what is not: by thresholds, by noise, and by what is comparable at all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from made import MACHINE, failed, measured, memory, speed

from bench import profiles
from bench.comparison.judge import Judgement, RunComparison, compare_runs
from bench.comparison.measures import MEASURES, NOISY, with_thresholds
from bench.comparison.noise import MachineKind, Noise, Spread, ratio_test
from bench.comparison.rows import ALL_ROWS, row_label
from bench.records.record import ExtraTest, Record

TRAIN, EVAL = "train_examples_per_second", "eval_examples_per_second"
QUIET = Noise(
    bench_version="0.1.0",
    profile="cpu",
    machine=MachineKind(cpu_model="A CPU", cpu_cores=2),
    repeats=5,
    cells=18,
    quantities={m.name: Spread(between_sd=0.005, within_sd=0.01, between_df=4, within_df=68, cells=18) for m in NOISY},
)
OTHER_CPU = {**MACHINE, "cpu_model": "B CPU"}


def louder(**changes: float) -> Noise:
    spreads = {name: spread.model_copy(update=changes) for name, spread in QUIET.quantities.items()}
    return QUIET.model_copy(update={"quantities": spreads})


def seeds(*scores: float, **changes: Any) -> list[Record]:
    method = changes.pop("method", "a")
    return [measured(method, seed, score, **changes) for seed, score in enumerate(scores or (0.5, 0.6, 0.7))]


def of(found: RunComparison, name: str) -> Judgement:
    (judgement,) = [judgement for judgement in found.judgements if judgement.measure.name == name]
    return judgement


def outcome(base: list[Record], new: list[Record], name: str, noise: Noise | None = QUIET, **options: Any) -> str:
    return of(compare_runs(base, new, noise=noise, **options), name).outcome


# Direction, threshold, noise


def test_a_given_threshold_holds_with_and_without_noise() -> None:
    changed = with_thresholds(["peak_train_memory_mib=30%", "adapter_bytes=0.05"])
    assert [m.threshold for m in changed if m.name in ("peak_train_memory_mib", "adapter_bytes")] == [0.3, 0.05]
    base, new = seeds(), seeds(train_mib=125.0)
    for noise, usual in ((QUIET, 0.05), (None, 0.05)):
        assert of(compare_runs(base, new, noise=noise), "peak_train_memory_mib").measure.threshold == usual
        assert outcome(base, new, "peak_train_memory_mib", noise) == "regression"
        assert outcome(base, new, "peak_train_memory_mib", noise, measures=changed) == "unchanged"


@pytest.mark.parametrize(
    ("name", "worse", "better"),
    [
        ("score", {"scores": (0.4, 0.501, 0.6)}, {"scores": (0.6, 0.701, 0.8)}),
        (TRAIN, {"train": 38.0}, {"train": 66.0}),
        (EVAL, {"evaluation": 150.0}, {"evaluation": 260.0}),
        ("peak_train_memory_mib", {"train_mib": 120.0}, {"train_mib": 80.0}),
        ("peak_eval_memory_mib", {"eval_mib": 96.0}, {"eval_mib": 64.0}),
        ("trainable_params", {"trainable": 11}, {"trainable": 9}),
        ("adapter_bytes", {"adapter_bytes": 1020}, {"adapter_bytes": 980}),
    ],
)
def test_each_measure_has_its_direction(name: str, worse: dict[str, Any], better: dict[str, Any]) -> None:
    for changes, expected in ((worse, "regression"), (better, "improvement")):
        found = compare_runs(seeds(), seeds(*changes.pop("scores", ()), **changes), noise=QUIET)
        assert of(found, name).outcome == expected
        assert of(found, name).worse is (expected == "regression")
        assert [j.measure.name for j in found.judgements if j.outcome != "unchanged"] == [name]
        assert found.verdict == ("regression" if expected == "regression" else "no regression")


def test_a_metric_that_is_better_when_lower() -> None:
    base, new = (
        [r.model_copy(update={"higher_is_better": False}) for r in seeds(*s)] for s in ((1, 2, 3), (2, 3.01, 4))
    )
    assert outcome(base, new, "score") == "regression"
    assert outcome(new, base, "score") == "improvement"


def test_the_threshold_itself_is_still_allowed() -> None:
    assert outcome(seeds(), seeds(adapter_bytes=1010), "adapter_bytes") == "unchanged"
    assert outcome(seeds(), seeds(adapter_bytes=1011), "adapter_bytes") == "regression"
    assert outcome(seeds(trainable=0), seeds(trainable=0), "trainable_params") == "unchanged"
    found = of(compare_runs(seeds(trainable=0), seeds(trainable=1)), "trainable_params")
    assert (found.outcome, found.base, found.new, found.change) == ("regression", 0, 1, None)


def test_a_change_must_be_larger_than_the_threshold_and_than_the_noise() -> None:
    assert outcome(seeds(), seeds(train=35.0), TRAIN, QUIET) == "regression"
    assert outcome(seeds(), seeds(train=35.0), TRAIN, louder(between_sd=0.3)) == "unsure"
    assert outcome(seeds(0.5, 0.6, 0.7), seeds(0.2, 0.65, 0.66), "score") == "unsure"
    found = of(compare_runs(seeds(), seeds(train=46.0), noise=QUIET), TRAIN)
    assert found.p_value is not None
    assert found.p_value < 0.05
    assert found.outcome == "unchanged"


def test_a_change_is_of_the_means_over_common_seeds() -> None:
    base = [measured("a", s, train=t) for s, t in enumerate((40.0, 50.0, 1e9))]
    new = [measured("a", s, train=t) for s, t in enumerate((20.0, 25.0))]
    found = of(compare_runs(base, new, noise=QUIET), TRAIN)
    assert (found.base, found.new) == pytest.approx((math.sqrt(2000), math.sqrt(500)))
    assert (found.change, found.n_seeds) == (pytest.approx(-0.5), 2)


def test_p_values_are_corrected_for_all_tests_of_the_comparison() -> None:
    base, new = seeds(method="a"), seeds(method="a", train=46.5)
    more = [record for name in "bcdefghij" for record in seeds(method=name)]
    among = compare_runs(base + more, new + more, noise=QUIET).judgements
    # Alone it is one of 4 tests (2 of speed, 2 of memory; the scores are the same to the bit), then one of 40, beside
    # a second family: all rows together. One-sided: half of what the two-sided test says.
    test = ratio_test([math.log(46.5 / 50)] * 3, QUIET.quantities[TRAIN], None)
    assert test is not None
    alone = 4 * test.p_value / 2
    assert of(compare_runs(base, new, noise=QUIET), TRAIN).p_value == pytest.approx(alone)
    assert [j.p_value for j in among if (j.row.method, j.measure.name) == ("a", TRAIN)] == [pytest.approx(20 * alone)]


def test_all_rows_together_show_what_no_row_shows() -> None:
    """A loop a little slower, so that no single row is significant: twenty rows are. One row is not judged twice."""
    base = [record for at in range(20) for record in seeds(method=f"m{at}")]
    new = [record for at in range(20) for record in seeds(method=f"m{at}", train=40.0 + at % 3)]
    loud = louder(between_sd=0.01, within_sd=0.08)
    speeds = [j for j in compare_runs(base, new, noise=loud).judgements if j.measure.name == TRAIN]
    assert {j.outcome for j in speeds if j.row != ALL_ROWS} <= {"unsure", "unchanged"}
    (together,) = [j for j in speeds if j.row == ALL_ROWS]
    assert (together.outcome, together.n_seeds, row_label(together.row)) == ("regression", 60, "all rows together")
    assert together.change == pytest.approx(-0.18, abs=0.01)
    for other in (compare_runs(base[:3], new[:3], noise=loud), compare_runs(base, new)):  # one row; unknown noise
        assert not [j for j in other.judgements if j.row == ALL_ROWS]


def test_only_scores_with_the_same_predictions_are_not_tested() -> None:
    found = of(compare_runs(seeds(), seeds()), "score")
    assert (found.outcome, found.p_value, found.change) == ("unchanged", None, 0.0)
    base = [measured("a", s, 0.5, predictions=[0, 1], references=[0, 0]) for s in range(2)]
    new = [measured("a", s, 0.5, predictions=[1, 0], references=[0, 0]) for s in range(2)]
    assert of(compare_runs(base, new), "score").p_value == 1.0


def test_a_failing_row_is_a_regression_though_no_figure_is() -> None:
    found = compare_runs(seeds(), [failed("a", s, "oom") for s in range(3)], noise=QUIET)
    assert {judgement.outcome for judgement in found.judgements} == {"not judged"}
    assert found.verdict == "regression"


# What is comparable


def test_of_another_machine_all_but_throughput_is_judged() -> None:
    new = seeds(0.3, 0.401, 0.5, machine=OTHER_CPU, train=5.0, evaluation=5.0, trainable=12, adapter_bytes=2000,
                train_mib=200.0, eval_mib=160.0)  # fmt: skip
    found = compare_runs(seeds(), new, noise=QUIET)
    assert {j.measure.name for j in found.of("regression")} == {m.name for m in MEASURES} - {TRAIN, EVAL}
    assert {(j.measure.name, j.reason) for j in found.of("not judged")} == {
        (name, "other machine (A CPU, 2 cores; B CPU, 2 cores)") for name in (TRAIN, EVAL)
    }
    gpu = {**MACHINE, "gpus": [{"name": "C GPU"}]}
    assert outcome(seeds(machine=gpu), seeds(machine=gpu), TRAIN, None) == "unchanged"
    for other in (gpu, {**MACHINE, "cpu_cores_allowed": 1}):
        assert outcome(seeds(), seeds(train=5.0, machine=other), TRAIN) == "not judged"
    assert of(compare_runs(seeds(machine=None), seeds(machine=None)), TRAIN).reason == "the machine is not recorded"


def probed(*gflops: float | None, train: float, method: str = "a") -> list[Record]:
    """One record for each probe of the machine's own speed."""
    usual = {TRAIN: train, EVAL: 200.0}
    return [measured(method, s, speed=speed(**usual, machine_gflops=g)) for s, g in enumerate(gflops)]


@pytest.mark.parametrize(
    ("then", "now", "judged"),
    [
        ((100.0, 100.0), (55.0, 55.0), False),
        ((100.0, 100.0), (180.0, 180.0), False),
        ((100.0, 100.0), (90.0, 90.0), True),
        ((100.0, 100.0), (84.0, 84.0), False),
        ((100.0, 60.0), (60.0, 100.0), True),  # as fast on average
        ((100.0, None), (None, 50.0), True),  # never both known
        ((100.0, None), (50.0, 50.0), False),
    ],
)
def test_throughput_of_a_machine_that_was_slower_itself_is_not_judged(
    then: tuple[float | None, ...], now: tuple[float | None, ...], judged: bool
) -> None:
    found = compare_runs(probed(*then, train=50.0), probed(*now, train=25.0), noise=QUIET)
    assert of(found, TRAIN).outcome == ("regression" if judged else "not judged")
    assert of(found, "peak_train_memory_mib").outcome != "regression"


def test_throughput_of_an_unsteady_machine_is_judged_only_if_its_noise_is_known() -> None:
    base = probed(100.0, 100.0, train=50.0) + probed(100.0, 100.0, train=50.0, method="b")
    new = probed(100.0, 100.0, train=25.0) + probed(60.0, 60.0, train=25.0, method="b")
    slower = "the machine itself ran at 0.60 of its former speed"
    for noise, of_a in ((QUIET, None), (None, "the machine was unsteady, at 0.60 to 1.00 of its former speed")):
        speeds = [j for j in compare_runs(base, new, noise=noise).judgements if j.measure.name == TRAIN]
        assert {j.row.method: j.reason for j in speeds} == {"a": of_a, "b": slower}


def test_memory_measured_in_another_way_is_not_judged() -> None:
    sampled = seeds(memory=memory(kind="cpu-rss-sampled", train_peak_mib=500.0))
    found = of(compare_runs(seeds(), sampled), "peak_train_memory_mib")
    assert found.outcome == "not judged"
    assert found.reason == "memory measured in another way (cpu-rss; cpu-rss-sampled)"
    assert of(compare_runs(seeds(), seeds(memory=None)), "peak_eval_memory_mib").reason == "memory was not measured"


def test_an_unknown_figure_and_another_metric_are_not_judged() -> None:
    void = speed(train_examples_per_second=None, eval_examples_per_second=200.0, void="every gradient was zero")
    found = compare_runs(seeds(speed=void), seeds(speed=void), noise=QUIET)
    assert of(found, TRAIN).reason == "not known in both runs"
    assert of(found, EVAL).outcome == "unchanged"
    new = [r.model_copy(update={"metric": "accuracy"}) for r in seeds()]
    assert "the metrics differ" in (of(compare_runs(seeds(), new), "score").reason or "")


def test_across_profiles_what_depends_on_them_is_not_judged() -> None:
    other = {"profile": profiles.load("cpu-2core")}
    new = seeds(0.3, 0.401, 0.5, of=other, train=1.0)
    found = compare_runs(seeds(), new, noise=QUIET, across=frozenset({"profile"}))
    assert [j.measure.name for j in found.of("regression")] == ["score"]
    assert {j.measure.name: j.reason for j in found.of("not judged")} == {m.name: "other profile" for m in NOISY}
    assert compare_runs(seeds(), seeds(of=other)).verdict == "nothing comparable"


def test_the_noise_of_other_runs_is_not_used() -> None:
    for changed in ({"profile": "gpu"}, {"machine": MachineKind(cpu_model="B CPU", cpu_cores=2)}):
        found = compare_runs(seeds(), seeds(), noise=QUIET.model_copy(update=changed))
        assert of(found, "peak_train_memory_mib").measure.threshold == 0.05
        assert "that of other runs" in found.noise
    assert "is not known" in compare_runs(seeds(), seeds()).noise
    assert "5 runs of 18 cells" in compare_runs(seeds(), seeds(), noise=QUIET).noise


def test_without_known_noise_the_spread_over_seeds_decides() -> None:
    base = [measured(m, s, train=t) for m in "ab" for s, t in enumerate((50.0, 51.0, 49.0))]
    for speeds, expected in (((35.0, 35.5, 34.5), "regression"), ((10.0, 51.0, 80.0), "unsure")):
        new = [measured(m, s, train=t) for m in "ab" for s, t in enumerate(speeds)]
        assert [j.outcome for j in compare_runs(base, new).judgements if j.measure.name == TRAIN] == [expected] * 2
    found = of(compare_runs(seeds(0.5), seeds(0.5, train=1.0)), TRAIN)
    assert (found.outcome, found.reason) == ("not judged", "one seed alone shows no noise")
    assert outcome(seeds(0.5), seeds(0.5, train=1.0), TRAIN) == "regression"


def test_a_test_that_detects_nothing_does_not_say_how_much() -> None:
    found = of(compare_runs(seeds(), seeds(train=1.0), noise=louder(between_sd=9.0, within_sd=9.0, within_df=1)), TRAIN)
    assert (found.outcome, found.detectable) == ("unsure", None)


def test_an_extra_test_is_judged_by_its_score_alone() -> None:
    def with_extra(score: float, **changes: Any) -> list[Record]:
        scores = [{"matthews": score * (1 + s / 100)} for s in range(3)]
        return [measured("a", s, extra_tests={"hard": ExtraTest(scores=scores[s])}, **changes) for s in range(3)]

    found = compare_runs(with_extra(0.5), with_extra(0.3, adapter_bytes=9999))
    hard = [j for j in found.judgements if j.row.group.task == "sms-spam/hard"]
    assert [(j.measure.name, j.outcome) for j in hard] == [("score", "regression")]
    assert [j.measure.name for j in found.of("regression")] == ["adapter_bytes", "score"]


def test_the_verdict_without_a_regression() -> None:
    same = compare_runs(seeds(), seeds(), noise=QUIET)
    assert [judgement.outcome for judgement in same.judgements] == ["unchanged"] * len(MEASURES)
    assert (same.verdict, same.events) == ("no regression", [])
    for base, new in ((seeds(method="a"), seeds(method="b")), ([], [])):
        assert compare_runs(base, new).verdict == "nothing comparable"
