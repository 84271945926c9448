"""docs/findings.md says what the published tables say, and nothing more.

Each function makes the passages of a section anew from the data, and asserts what they say in words. The page must have
them word for word, and no number that is in none of them.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Sequence
from itertools import chain

import commands
from published import Line, Published, between, ends, lines, listed, named, usual

from bench.grid import suites

ROOT = commands.ROOT
HERE = Published(ROOT / "results" / "standard")
SUITE = suites.load("standard")
ABLATIONS = "pasta[tokens=cls]", "pasta[share_layers=true]", "pasta[tokens=sep]"
OTHERS = "full", "lora", "lora[r=1,alpha=2.0]", "bitfit", "ia3", "adapters", "prefix_tuning", "prompt_tuning"
PAIRS = "record-match"  # texts come in pairs here, with three special tokens; with two elsewhere
TRIALS = lines(ROOT / "results" / "tuning" / "trials.csv")
LONGER = [line for method in ("pasta", "full")
          for line in lines(ROOT / "results" / "longer-tuning" / method / "trials.csv")]  # fmt: skip
LONGER_TASKS = "rt-intensity", "rt-polarity", "us-address"  # of PASTA; of full fine-tuning the last alone


def ahead_of_pasta(other: str) -> list[str]:
    return HERE.apart(other, "pasta", of="pasta")


def behind_pasta(other: str) -> list[str]:
    return HERE.apart("pasta", other, of="pasta")


def parameters(other: str) -> list[float]:
    """How many times PASTA's a method trains, a number a task."""
    return HERE.ratios("trainable_params", other, "pasta")


def better_means() -> list[str]:
    """The methods with a better mean than PASTA's, the best first."""
    return sorted((other for other in OTHERS if HERE.mean(other) > HERE.mean("pasta")), key=HERE.mean, reverse=True)


def of(found: Sequence[Line], method: str, task: str) -> list[Line]:
    return [line for line in found if (line["method"], line["task"]) == (method, task)]


# What was run


def what_was_run() -> Iterator[str]:
    assert {row["n_seeds"] for row in HERE.rows.values()} == {str(len(SUITE.seeds))}
    assert {row["status"] for row in HERE.rows.values()} == {"ok"}
    assert {line["status"] for line in HERE.cells} == {"ok"}
    yield (
        f"{len(HERE.methods)} methods, {len(HERE.tasks)} tasks, {len(SUITE.seeds)} seeds: {len(HERE.cells)} trainings, "
        "none of which failed"
    )

    budget = SUITE.budget
    yield f"at most {budget.train_examples:,} training and {budget.test_examples:,} test examples of each task"

    (trials,) = {row["tuning_trials"] for row in HERE.rows.values()}
    yield f"{trials} trials of each method on each task"


# In short


def in_short() -> Iterator[str]:
    assert HERE.difference("full", "pasta").low > 0
    assert HERE.difference("lora", "pasta").low > 0
    yield "on this small model it is behind full fine-tuning and LoRA"

    others = [other for other in OTHERS if other != "full"]
    assert all(max(HERE.ratios("adapter_bytes", "pasta", other)) < 1 for other in others)
    speeds = {other: statistics.fmean(HERE.ratios("train_examples_per_second", "pasta", other)) for other in others}
    assert all(0.8 < ratio < 1.2 for other, ratio in speeds.items() if other != "prompt_tuning")
    assert speeds["prompt_tuning"] > 1.2
    yield "it saves storage but no time, except against prompt tuning"


# Where PASTA stands


def where_pasta_stands() -> Iterator[str]:
    shares = {task: f"{HERE.value('trainable_share_percent', 'pasta', task):.3f}" for task in HERE.tasks}
    (single,) = {share for task, share in shares.items() if task != PAIRS}
    yield f"{single} % of the parameters on single texts and {shares[PAIRS]} % on pairs of texts"

    gap = HERE.difference("full", "pasta")
    assert gap.low > 0
    yield f"{gap.points:.1f} points behind full fine-tuning over the tasks (95 % interval {ends(gap)})"

    better = ahead_of_pasta("full")
    assert better
    assert not behind_pasta("full")
    rest = [task for task in HERE.tasks if task not in better]
    yield f"The difference is significant on {named(better)}, and not on {named(rest)}"

    head = HERE.mean("head")
    share = (HERE.mean("pasta") - head) / (HERE.mean("full") - head)
    yield f"{100 * share:.0f} % of what full fine-tuning gains over the head alone"

    rows = []
    for other in better_means():
        assert not behind_pasta(other)
        times = parameters(other)
        rows.append(
            f"| `{other}` | {between(times, ',.1f' if max(times) < 10 else ',.0f')} | "
            f"{HERE.difference(other, 'pasta')} | {listed(ahead_of_pasta(other))} |"
        )
    yield " ".join(rows)

    # LoRA at rank 1 has the parameters nearest to PASTA's of those ahead of it.
    name = "lora[r=1,alpha=2.0]"
    assert min(OTHERS, key=lambda other: max(parameters(other))) == "prompt_tuning"
    assert min(better_means(), key=lambda other: max(parameters(other))) == name
    gap = HERE.difference(name, "pasta")
    assert gap.low > 0
    yield (
        f"LoRA of rank one trains {between(parameters(name), '.1f')} times PASTA's parameters and is "
        f"{gap.points:.1f} points better ({ends(gap)})"
    )

    assert {*OTHERS} - {*better_means()} == {"adapters", "prompt_tuning"}  # the page tells of both
    gap, better = HERE.difference("pasta", "prompt_tuning"), behind_pasta("prompt_tuning")
    assert not ahead_of_pasta("prompt_tuning")
    yield (
        f"Prompt tuning, with {between(parameters('prompt_tuning'), '.1f')} times as many parameters, has a mean "
        f"{gap.points:.1f} points below it ({ends(gap)}) and is significantly worse on {named(better)}"
    )


# What it costs


def what_it_costs() -> Iterator[str]:
    to_full, to_lora = (HERE.ratios("train_examples_per_second", "pasta", other) for other in ("full", "lora"))
    assert statistics.fmean(to_full) > 1
    yield f"{usual(to_full)} as many examples a second as full fine-tuning, {usual(to_lora)} as many as LoRA"

    yield f"{usual(HERE.ratios('eval_examples_per_second', 'pasta', 'full'))} as many as the fully tuned model"

    of_full = HERE.ratios("peak_train_memory_mib", "pasta", "full")
    of_lora = HERE.ratios("peak_train_memory_mib", "pasta", "lora")
    assert max(of_full) < 1
    yield f"{between(of_full, '.2f')} times that of full fine-tuning and {between(of_lora, '.2f')} times that of LoRA"

    kilobytes = {method: [size / 1000 for size in HERE.values("adapter_bytes", method)] for method in HERE.methods}
    own, lora, full = (between(kilobytes[method], ",.0f") for method in ("pasta", "lora", "full"))
    yield f"{own} kB, the head included, where LoRA's takes {lora} kB and a whole model {full} kB"


# Who wins


def who_wins() -> Iterator[str]:
    rows = []
    for task in HERE.tasks:
        first, *rest = sorted(HERE.best(task), key=lambda method: HERE.value("score_mean", method, task), reverse=True)
        score = HERE.value("score_mean", first, task)
        metric = HERE.rows[first, task]["metric"].replace("_", "\\_")
        rows.append(
            f"| {task} | {metric} | `{first}` {score:.3f} | {', '.join(f'`{method}`' for method in rest) or '–'} |"
        )
    yield " ".join(rows)

    count = {method: sum(method in HERE.best(task) for task in HERE.tasks) for method in HERE.methods}
    yield (
        f"Full fine-tuning is among the first on {count['full']} of {len(HERE.tasks)} tasks, LoRA on {count['lora']}, "
        f"BitFit on {count['bitfit']}, PASTA on {count['pasta']}, the head alone on {count['head']}"
    )

    quarter, _, three_quarters = statistics.quantiles(
        [100 * float(line["minimum_detectable_holm"]) for line in HERE.all_pairs], n=4
    )
    yield f"for half of all pairs it lies between {quarter:.1f} and {three_quarters:.1f} points"


# What each part of PASTA is worth


def what_each_part_of_pasta_is_worth() -> Iterator[str]:
    rows = []
    for variant in sorted(ABLATIONS, key=HERE.mean, reverse=True):
        assert not ahead_of_pasta(variant)
        shares = HERE.values("trainable_share_percent", variant)
        rows.append(
            f"| `{variant}` | {between(shares, '.3f')} | {HERE.difference(variant, 'pasta')} | "
            f"{listed(behind_pasta(variant))} |"
        )
    yield " ".join(rows)

    without_sep, without_cls = (HERE.differences("pasta", f"pasta[tokens={kept}]") for kept in ("cls", "sep"))
    assert max(HERE.tasks, key=lambda task: without_sep[task].points) == PAIRS
    assert max(HERE.tasks, key=lambda task: without_cls[task].points) == "us-address"
    assert HERE.mean("pasta[tokens=cls]") > HERE.mean("pasta[tokens=sep]")
    yield (
        "The vectors of [CLS] do most of the work. Leaving out those of [SEP] costs most where texts come in pairs "
        "(record-match); leaving out those of [CLS], where the head reads every word (us-address)."
    )


# More tuning


def best_trial(trials: list[Line], method: str, task: str) -> float:
    """The best validation score of a method's trials, in points."""
    return max(100 * float(line["validation_score"]) for line in of(trials, method, task))


def gaps(pasta_trials: list[Line]) -> dict[str, float]:
    """How far PASTA's best trials are behind those of full fine-tuning that are as long as everybody's, by task."""
    return {task: best_trial(TRIALS, "full", task) - best_trial(pasta_trials, "pasta", task) for task in HERE.tasks}


def mean_gaps() -> tuple[float, float]:
    """Over the tasks: before the longer trials, and with them."""
    return statistics.fmean(gaps(TRIALS).values()), statistics.fmean(gaps([*TRIALS, *LONGER]).values())


def more_tuning() -> Iterator[str]:
    assert {line["status"] for line in LONGER} == {"ok"}
    assert {(line["method"], line["task"]) for line in LONGER} == {
        *(("pasta", task) for task in LONGER_TASKS), ("full", "us-address")
    }  # fmt: skip
    short = gaps(TRIALS)
    assert set(sorted(short, key=short.__getitem__)[-3:]) == set(LONGER_TASKS)
    assert max(short, key=short.__getitem__) == "us-address"
    for method in ("pasta", "full"):
        points = [{(line["trial"], line["learning_rate"]) for line in trials if line["method"] == method}
                  for trials in (TRIALS, LONGER)]  # fmt: skip
        assert points[0] == points[1]
    (steps,), (more,) = ({line["min_steps"] for line in trials} for trials in (TRIALS, LONGER))
    yield f"{int(more):,} steps instead of {steps}"

    rows = []
    for task in LONGER_TASKS:
        full = f"{best_trial(LONGER, 'full', task):.1f}" if task == "us-address" else "–"
        rows.append(
            f"| {task} | {best_trial(TRIALS, 'pasta', task):.1f} | {best_trial(LONGER, 'pasta', task):.1f} | "
            f"{best_trial(TRIALS, 'full', task):.1f} | {full} |"
        )
    yield " ".join(rows)

    before, after = mean_gaps()
    assert 0 < after < before
    assert best_trial(LONGER, "full", "us-address") < best_trial(TRIALS, "full", "us-address")  # the page says so
    yield (
        f"The mean gap on validation over all five tasks goes from {before:.1f} to {after:.1f} points, where PASTA "
        "keeps the better of its short and its long trials and full fine-tuning has its short ones alone"
    )

    yield f"four times its training closes {100 * (before - after) / before:.0f} % of the gap at the most"


# A recipe from one seed


COLLAPSED = "rt-intensity", "sms-spam"


def a_recipe_from_one_seed() -> Iterator[str]:
    # A task's chosen rate, its score on validation, and those on test at the seeds that are reported.
    rows = []
    for task in HERE.tasks:
        scores = [float(line["score"]) for line in of(HERE.cells, "adapters", task)]
        assert (min(scores) < 0.1) == (task in COLLAPSED)
        assert max(scores) > 0.7
        chosen = max(of(TRIALS, "adapters", task), key=lambda line: float(line["validation_score"]))
        rows.append(
            f"| {task} | {float(chosen['learning_rate']):g} | {float(chosen['validation_score']):.3f} | "
            f"{', '.join(f'{score:.3f}' for score in scores)} |"
        )
    yield " ".join(rows)

    found = [each for task, each in HERE.differences("adapters", "pasta").items() if task not in COLLAPSED]
    rest = statistics.fmean(each.points for each in found)
    assert rest > 0
    assert len(found) == 3
    yield f"On the other three tasks adapters are {rest:.1f} points ahead of PASTA"


# Beside the paper


# Quotations of the first pages of Yang et al., EACL 2023, and the shares of one or two vectors for each of BERT-large's
# layers, k * 24 * 1,024 of 335,143,938 parameters.
IN_THE_PAPER = r'"[^"]*" \((?:abstract|section 1)\)|one or two a layer are 0\.007 % or 0\.015 % of BERT-large'


def beside_the_paper() -> Iterator[str]:
    gap = HERE.difference("bitfit", "pasta")
    assert gap.low > 0
    yield (
        f"{gap.points:.1f} points behind BitFit ({ends(gap)}), which trains "
        f"{between(parameters('bitfit'), '.1f')} times as many parameters"
    )

    assert not HERE.apart("pasta", "prefix_tuning", of="pasta")
    gap = HERE.differences("pasta", "prefix_tuning")["us-address"]
    method, own = (HERE.value("trainable_params", of, "us-address") for of in ("prefix_tuning", "pasta"))
    yield f"{gap} points from P-tuning v2, with {method / own:.0f} times fewer parameters"

    gap = HERE.difference("pasta[tokens=cls]", "pasta")
    (share,) = {f"{share:.3f}" for share in HERE.values("trainable_share_percent", "pasta[tokens=cls]")}
    yield f"`pasta[tokens=cls]`, {share} %, lies {gap} points from the whole"


# The page


SECTIONS = (
    what_was_run, in_short, where_pasta_stands, what_it_costs, who_wins, what_each_part_of_pasta_is_worth, more_tuning,
    a_recipe_from_one_seed, beside_the_paper,
)  # fmt: skip


def test_the_page_says_what_the_tables_say_and_no_other_number() -> None:
    page = " ".join((ROOT / "docs" / "findings.md").read_text(encoding="utf-8").split())
    for passage in chain.from_iterable(section() for section in SECTIONS):
        assert passage in page
        page = page.replace(passage, "")
    page = re.sub(r"<!-- (\w+):begin .*? -->.*?<!-- \1:end -->", "", page)  # held to the tables by tests/publish
    assert len(re.findall(IN_THE_PAPER, page)) == 5
    page = re.sub(IN_THE_PAPER, "", page)
    names = r"`[^`]*`|\]\([^)]*\)|all-MiniLM-L6-v2|P-tuning v2|80 % power"
    page = re.sub(names, "", page)
    assert re.findall(r"\S*\d\S*", page) == []
