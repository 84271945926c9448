"""What is a regression, and what is not: by thresholds, by noise, and by what may be compared at all."""

from __future__ import annotations

import math
from typing import Any

import pytest
from made import MACHINE, failed, measured, memory, speed

from bench import profiles
from bench.comparison.judging import Judgement, Report, compare
from bench.comparison.measures import NOISY, QUANTITIES, parse_threshold, with_thresholds
from bench.comparison.noise import MachineKind, Noise, Spread, ratio_test
from bench.comparison.rows import ALL_ROWS
from bench.records.record import ExtraTest, Record

QUIET = Noise(
    bench_version="0.1.0",
    profile="cpu",
    machine=MachineKind(cpu_model="A CPU", cpu_cores=2),
    repeats=5,
    cells=18,
    quantities={q.name: Spread(between_sd=0.005, within_sd=0.01, between_df=4, within_df=68, cells=18) for q in NOISY},
)


def seeds(*scores: float, **changes: Any) -> list[Record]:
    method = changes.pop("method", "a")
    return [measured(method, seed, score, **changes) for seed, score in enumerate(scores or (0.5, 0.6, 0.7))]


def of(report: Report, name: str) -> Judgement:
    found = [judgement for judgement in report.judgements if judgement.quantity.name == name]
    assert len(found) == 1
    return found[0]


def outcome(base: list[Record], new: list[Record], name: str, noise: Noise | None = QUIET, **options: Any) -> str:
    return of(compare(base, new, noise=noise, **options), name).outcome


# The table of quantities


def test_every_quantity_is_a_column_and_has_its_direction() -> None:
    from bench.leaderboard.columns import CELLS, names

    assert [quantity.name for quantity in QUANTITIES if quantity.name not in names(CELLS)] == []
    assert [quantity.name for quantity in QUANTITIES if quantity.higher_is_better] == [
        "train_examples_per_second", "eval_examples_per_second"
    ]  # fmt: skip
    assert all((quantity.cautious or 0) > quantity.threshold for quantity in NOISY)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("score=0.02", ("score", 0.02)),
        ("adapter_bytes=5%", ("adapter_bytes", 0.05)),
        ("trainable_params=0", ("trainable_params", 0.0)),
    ],
)
def test_thresholds(text: str, found: tuple[str, float]) -> None:
    assert parse_threshold(text) == pytest.approx(found)


def test_a_threshold_that_is_asked_for_holds_with_and_without_noise() -> None:
    changed = with_thresholds({"peak_train_memory_mib": 0.3})
    base, new = seeds(), seeds(train_mib=125.0)
    for noise, usual in ((QUIET, 0.05), (None, 0.15)):
        assert of(compare(base, new, noise=noise), "peak_train_memory_mib").threshold == usual
        assert outcome(base, new, "peak_train_memory_mib", noise) == "regression"
        assert outcome(base, new, "peak_train_memory_mib", noise, quantities=changed) == "unchanged"


# Direction, threshold, noise


def test_nothing_changed() -> None:
    report = compare(seeds(), seeds(), noise=QUIET)
    assert {judgement.outcome for judgement in report.judgements} == {"unchanged"}
    assert len(report.judgements) == len(QUANTITIES)
    assert (report.verdict, report.regressed, report.events) == ("no regression", False, [])


@pytest.mark.parametrize(
    ("name", "worse", "better"),
    [
        ("score", {"scores": (0.4, 0.501, 0.6)}, {"scores": (0.6, 0.701, 0.8)}),
        ("train_examples_per_second", {"train": 38.0}, {"train": 66.0}),
        ("eval_examples_per_second", {"evaluation": 150.0}, {"evaluation": 260.0}),
        ("peak_train_memory_mib", {"train_mib": 120.0}, {"train_mib": 80.0}),
        ("peak_eval_memory_mib", {"eval_mib": 96.0}, {"eval_mib": 64.0}),
        ("trainable_params", {"trainable": 11}, {"trainable": 9}),
        ("adapter_bytes", {"adapter_bytes": 1020}, {"adapter_bytes": 980}),
    ],
)
def test_each_quantity_knows_which_way_is_worse(name: str, worse: dict[str, Any], better: dict[str, Any]) -> None:
    for changes, expected in ((worse, "regression"), (better, "improvement")):
        report = compare(seeds(), seeds(*changes.pop("scores", ()), **changes), noise=QUIET)
        assert of(report, name).outcome == expected
        assert of(report, name).worse is (expected == "regression")
        assert [j.quantity.name for j in report.judgements if j.outcome != "unchanged"] == [name]
        assert report.regressed is (expected == "regression")


def test_a_metric_of_which_less_is_better() -> None:
    base, new = (
        [r.model_copy(update={"higher_is_better": False}) for r in seeds(*s)] for s in ((1, 2, 3), (2, 3.01, 4))
    )
    assert outcome(base, new, "score") == "regression"
    assert outcome(new, base, "score") == "improvement"


def test_the_threshold_itself_is_still_allowed() -> None:
    assert outcome(seeds(), seeds(adapter_bytes=1010), "adapter_bytes") == "unchanged"
    assert outcome(seeds(), seeds(adapter_bytes=1011), "adapter_bytes") == "regression"
    assert outcome(seeds(), seeds(trainable=10), "trainable_params") == "unchanged"


def test_a_method_that_trained_nothing_of_its_own_and_now_does() -> None:
    found = of(compare(seeds(trainable=0), seeds(trainable=1)), "trainable_params")
    assert (found.outcome, found.base, found.new, found.change) == ("regression", 0, 1, None)
    assert outcome(seeds(trainable=0), seeds(trainable=0), "trainable_params") == "unchanged"


def test_more_than_the_threshold_but_not_than_the_noise_is_unsure() -> None:
    loud = QUIET.model_copy(
        update={"quantities": {k: v.model_copy(update={"between_sd": 0.3}) for k, v in QUIET.quantities.items()}}
    )
    base, new = seeds(), seeds(train=35.0)
    assert outcome(base, new, "train_examples_per_second", QUIET) == "regression"
    assert outcome(base, new, "train_examples_per_second", loud) == "unsure"


def test_more_than_the_noise_but_not_than_the_threshold_is_no_matter() -> None:
    found = of(compare(seeds(), seeds(train=46.0), noise=QUIET), "train_examples_per_second")
    assert found.p_value is not None
    assert found.p_value < 0.05
    assert found.outcome == "unchanged"


def test_scores_by_one_seed_or_by_seeds_that_disagree_prove_nothing() -> None:
    assert outcome(seeds(0.5, 0.6, 0.7), seeds(0.2, 0.65, 0.66), "score") == "unsure"


def test_a_change_is_of_the_means_over_common_seeds() -> None:
    base = [measured("a", s, train=t) for s, t in enumerate((40.0, 50.0, 1e9))]
    new = [measured("a", s, train=t) for s, t in enumerate((20.0, 25.0))]
    found = of(compare(base, new, noise=QUIET), "train_examples_per_second")
    assert (found.base, found.new) == pytest.approx((math.sqrt(2000), math.sqrt(500)))
    assert (found.change, found.n_seeds) == (pytest.approx(-0.5), 2)


def test_p_values_are_corrected_for_all_tests_of_the_comparison() -> None:
    base, new = seeds(method="a"), seeds(method="a", train=46.5)
    alone = of(compare(base, new, noise=QUIET), "train_examples_per_second").p_value
    more = [record for name in "bcdefghij" for record in seeds(method=name)]
    among = [
        judgement.p_value
        for judgement in compare(base + more, new + more, noise=QUIET).judgements
        if (judgement.row.method, judgement.quantity.name) == ("a", "train_examples_per_second")
    ]
    assert alone is not None
    # Alone it is one of 4 tests (2 of speed, 2 of memory; the scores are the same to the bit), then one of 40, beside
    # a second family: all rows together. One-sided: half of what the two-sided test says.
    test = ratio_test([math.log(46.5 / 50)] * 3, QUIET.quantities["train_examples_per_second"], None)
    assert test is not None
    assert alone == pytest.approx(4 * test.p_value / 2)
    assert among == [pytest.approx(2 * 10 * alone)]


def test_all_rows_together_see_what_no_row_sees() -> None:
    """A loop a little slower, so that no row is sure of it: twenty rows are. One row alone is not judged twice."""
    base = [record for at in range(20) for record in seeds(method=f"m{at}")]
    new = [record for at in range(20) for record in seeds(method=f"m{at}", train=40.0 + at % 3)]
    louder = {"between_sd": 0.01, "within_sd": 0.08}
    spreads = {name: spread.model_copy(update=louder) for name, spread in QUIET.quantities.items()}
    loud = QUIET.model_copy(update={"quantities": spreads})
    report = compare(base, new, noise=loud)
    speeds = [j for j in report.judgements if j.quantity.name == "train_examples_per_second"]
    assert {j.outcome for j in speeds if j.row != ALL_ROWS} <= {"unsure", "unchanged"}
    (together,) = [j for j in speeds if j.row == ALL_ROWS]
    assert (together.outcome, together.n_seeds, together.label) == ("regression", 60, "all rows together")
    assert together.change == pytest.approx(-0.18, abs=0.01)
    for other in (compare(base[:3], new[:3], noise=loud), compare(base, new)):  # one row; noise that is not known
        assert not [j for j in other.judgements if j.row == ALL_ROWS]


def test_scores_that_are_the_same_to_the_bit_are_not_tested() -> None:
    found = of(compare(seeds(), seeds()), "score")
    assert (found.outcome, found.p_value, found.change) == ("unchanged", None, 0.0)


def test_the_same_score_by_other_answers_is_tested() -> None:
    base = [measured("a", s, 0.5, predictions=[0, 1], references=[0, 0]) for s in range(2)]
    new = [measured("a", s, 0.5, predictions=[1, 0], references=[0, 0]) for s in range(2)]
    assert of(compare(base, new), "score").p_value == 1.0


def test_a_failing_row_is_a_regression_though_no_figure_is() -> None:
    report = compare(seeds(), [failed("a", s, "oom") for s in range(3)], noise=QUIET)
    assert {judgement.outcome for judgement in report.judgements} == {"not judged"}
    assert report.regressed
    assert report.comparable


# What may be compared


@pytest.mark.parametrize("name", ["train_examples_per_second", "eval_examples_per_second"])
def test_throughput_of_another_machine_is_not_judged(name: str) -> None:
    other = {**MACHINE, "cpu_model": "B CPU"}
    found = of(compare(seeds(), seeds(train=5.0, evaluation=5.0, machine=other)), name)
    assert (found.outcome, found.reason) == ("not judged", "other machine (A CPU, 2 cores; B CPU, 2 cores)")
    fewer = {**MACHINE, "cpu_cores_allowed": 1}
    assert outcome(seeds(), seeds(train=5.0, machine=fewer), name) == "not judged"
    gpu = {**MACHINE, "gpus": [{"name": "C GPU"}]}
    assert outcome(seeds(machine=gpu), seeds(machine=gpu), name, None) == "unchanged"
    assert outcome(seeds(machine=gpu), seeds(), name) == "not judged"
    unknown = of(compare(seeds(machine=None), seeds(machine=None)), name)
    assert unknown.reason == "the machine is not recorded"


def test_scores_sizes_and_memory_of_another_machine_are_judged() -> None:
    other = {**MACHINE, "cpu_model": "B CPU"}
    new = seeds(0.3, 0.401, 0.5, machine=other, trainable=12, adapter_bytes=2000, train_mib=200.0, eval_mib=160.0)
    report = compare(seeds(), new, noise=QUIET)
    assert {j.quantity.name for j in report.of("regression")} == {
        "score", "trainable_params", "adapter_bytes", "peak_train_memory_mib", "peak_eval_memory_mib"
    }  # fmt: skip


def probed(*gflops: float | None, train: float) -> list[Record]:
    """One record a probe of the machine's own speed."""
    usual = {"train_examples_per_second": train, "eval_examples_per_second": 200.0}
    return [measured("a", s, speed=speed(**usual, machine_gflops=g)) for s, g in enumerate(gflops)]


@pytest.mark.parametrize(
    ("then", "now", "judged"),
    [
        ((100.0, 100.0), (55.0, 55.0), False),
        ((100.0, 100.0), (180.0, 180.0), False),
        ((100.0, 100.0), (90.0, 90.0), True),
        ((100.0, 100.0), (84.0, 84.0), False),
        ((100.0, 60.0), (60.0, 100.0), True),  # as fast on the whole
        ((100.0, None), (None, 50.0), True),  # never both known
        ((100.0, None), (50.0, 50.0), False),
    ],
)
def test_throughput_of_a_machine_that_was_slower_itself_is_not_judged(
    then: tuple[float | None, ...], now: tuple[float | None, ...], judged: bool
) -> None:
    report = compare(probed(*then, train=50.0), probed(*now, train=25.0), noise=QUIET)
    assert of(report, "train_examples_per_second").outcome == ("regression" if judged else "not judged")
    assert of(report, "peak_train_memory_mib").outcome != "regression"


def test_it_is_said_how_fast_the_machine_was() -> None:
    report = compare(probed(100.0, 100.0, train=50.0), probed(55.0, 55.0, train=25.0), noise=QUIET)
    assert of(report, "eval_examples_per_second").reason == "the machine itself ran at 0.55 of its speed then"


def test_a_machine_that_was_unsteady_is_trusted_nowhere_unless_its_noise_is_known() -> None:
    def two(a: float, b: float, train: float) -> list[Record]:
        others = [r.model_copy(update={"id": f"b{r.id[1:]}", "cell": r.cell.model_copy(update={"method": "b"})})
                  for r in probed(b, b, train=train)]  # fmt: skip
        return [*probed(a, a, train=train), *others]

    for noise, expected in (
        (QUIET, {"a": None, "b": "the machine itself ran at 0.60 of its speed then"}),
        (None, {"a": "the machine was unsteady, at 0.60 to 1.00 of its speed then",
                "b": "the machine itself ran at 0.60 of its speed then"}),
    ):  # fmt: skip
        report = compare(two(100.0, 100.0, 50.0), two(100.0, 60.0, 25.0), noise=noise)
        speed_ = [j for j in report.judgements if j.quantity.name == "train_examples_per_second"]
        assert {j.row.method: j.reason for j in speed_} == expected
    assert {j.outcome for j in speed_} == {"not judged"}


def test_memory_measured_otherwise_is_not_judged() -> None:
    sampled = seeds(memory=memory(kind="cpu-rss-sampled", train_peak_mib=500.0))
    found = of(compare(seeds(), sampled), "peak_train_memory_mib")
    assert (found.outcome, found.reason) == ("not judged", "memory measured otherwise (cpu-rss; cpu-rss-sampled)")
    assert of(compare(seeds(), seeds(memory=None)), "peak_eval_memory_mib").reason == "memory was not measured"


def test_a_figure_that_is_unknown_is_not_judged() -> None:
    void = speed(train_examples_per_second=None, eval_examples_per_second=200.0, void="every gradient was zero")
    report = compare(seeds(speed=void), seeds(speed=void), noise=QUIET)
    assert of(report, "train_examples_per_second").reason == "not known in both runs"
    assert of(report, "eval_examples_per_second").outcome == "unchanged"


def test_across_profiles_what_depends_on_them_is_not_judged() -> None:
    other = {"profile": profiles.load("cpu-2core")}
    report = compare(seeds(), seeds(0.3, 0.401, 0.5, of=other, train=1.0), noise=QUIET, across_profiles=True)
    assert [j.quantity.name for j in report.of("regression")] == ["score"]
    assert {j.quantity.name for j in report.of("not judged")} == {q.name for q in NOISY}
    assert {j.reason for j in report.of("not judged")} == {"other profile"}
    assert not compare(seeds(), seeds(of=other)).comparable


def test_the_noise_of_other_runs_is_not_taken() -> None:
    for changed in ({"profile": "gpu"}, {"machine": MachineKind(cpu_model="B CPU", cpu_cores=2)}):
        report = compare(seeds(), seeds(), noise=QUIET.model_copy(update=changed))
        assert of(report, "peak_train_memory_mib").threshold == 0.15
        assert "that of other runs" in report.noise
    assert "is not known" in compare(seeds(), seeds()).noise
    assert "5 runs of 18 cells" in compare(seeds(), seeds(), noise=QUIET).noise


def test_without_known_noise_the_spread_over_seeds_decides() -> None:
    base = [measured(m, s, train=t) for m in "ab" for s, t in enumerate((50.0, 51.0, 49.0))]
    steady = [measured(m, s, train=t) for m in "ab" for s, t in enumerate((35.0, 35.5, 34.5))]
    jumpy = [measured(m, s, train=t) for m in "ab" for s, t in enumerate((10.0, 51.0, 80.0))]
    for new, expected in ((steady, "regression"), (jumpy, "unsure")):
        found = [j.outcome for j in compare(base, new).judgements if j.quantity.name == "train_examples_per_second"]
        assert found == [expected] * 2


def test_one_seed_without_known_noise_says_nothing_of_speed() -> None:
    found = of(compare(seeds(0.5), seeds(0.5, train=1.0)), "train_examples_per_second")
    assert (found.outcome, found.reason) == ("not judged", "one seed alone shows no noise")
    assert outcome(seeds(0.5), seeds(0.5, train=1.0), "train_examples_per_second") == "regression"


def test_a_test_that_would_see_nothing_does_not_say_how_much() -> None:
    deaf = Spread(between_sd=9.0, within_sd=9.0, between_df=1, within_df=1, cells=2)
    noise = QUIET.model_copy(update={"quantities": {q.name: deaf for q in NOISY}})
    found = of(compare(seeds(), seeds(train=1.0), noise=noise), "train_examples_per_second")
    assert (found.outcome, found.detectable) == ("unsure", None)


def test_another_metric_is_not_compared() -> None:
    new = [r.model_copy(update={"metric": "accuracy"}) for r in seeds()]
    assert "another metric" in (of(compare(seeds(), new), "score").reason or "")


def test_an_extra_test_is_judged_by_its_score_alone() -> None:
    def with_extra(score: float) -> list[Record]:
        return [
            measured("a", s, extra_tests={"hard": ExtraTest(scores={"matthews": score * (1 + s / 100)})})
            for s in range(3)
        ]

    report = compare(with_extra(0.5), [r.model_copy(update={"adapter_bytes": 9999}) for r in with_extra(0.3)])
    hard = [j for j in report.judgements if j.row.group.task == "sms-spam/hard"]
    assert [(j.quantity.name, j.outcome) for j in hard] == [("score", "regression")]
    assert [j.quantity.name for j in report.of("regression")] == ["adapter_bytes", "score"]


def test_nothing_in_common() -> None:
    report = compare(seeds(method="a"), seeds(method="b"))
    assert (report.comparable, report.verdict, report.judgements) == (False, "nothing comparable", [])
    assert compare([], []).verdict == "nothing comparable"
