"""What a board says, in words made from its tables: the best method, what does not differ from it, and at what cost."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup

from bench.leaderboard.layout import label_of
from bench.report.formatting import shown, visible

Row = Mapping[str, Any]

MOST_NAMES = 6  # in one list
# What a method costs least by: a column, how that is said, and the unit.
LEAST = (
    ("trainable_share_percent", "trains the smallest share", "%"),
    ("peak_train_memory_mib", "needs the least memory while training", "MiB"),
)


@dataclass(frozen=True)
class Board:
    """The tables of one model, profile, suite and pooling, without extra tests.

    overall: see columns.OVERALL, the best first; rows: of the leaderboard; pairs: of the tasks. constant: how many
    finished trainings of a method are no better than a constant answer, where that is known.
    """

    overall: Sequence[Row]
    rows: Sequence[Row]
    pairs: Sequence[Row]
    constant: Mapping[str, int] = field(default_factory=dict)


class Verdict(NamedTuple):
    """answer: the best method, and at what cost. doubts: what went wrong, and what the board cannot decide."""

    answer: Markup
    doubts: Markup


class Standing(NamedTuple):
    """Methods by how they compare with the best, each from the best on.

    tied: share a letter with it. vague: so do these, but methods with better means do not: they vary too much to be
    separated from anything. worse: significantly. untested: have fewer than two seeds on some task.
    """

    best: Row
    tied: list[Row]
    vague: list[Row]
    worse: list[Row]
    untested: list[Row]


def verdict(board: Board) -> Verdict:
    """The board in words."""
    ranked = [row for row in board.overall if row.get("difference_to_best") is not None]
    if not ranked:
        return Verdict(_nothing(board), _joined([_constant(board), _failed(board)]))
    found = standing(ranked)
    answer = [_best(board, found.best, len(ranked))]
    if len(ranked) == 1:
        answer.append(Markup("There is no other method to compare it with."))
    elif not in_letters(found.best):
        untested = (
            "It was not tested against the others: that needs two seeds of each. Another seed may change the order."
        )
        answer.append(Markup(untested))
    else:
        answer += [_ties(found.tied), _cheapest([found.best, *found.tied])]
    doubts = [_others(found), _incomplete(board), _constant(board), _failed(board), _sensitivity(board, ranked)]
    return Verdict(_joined(answer), _joined(doubts))


def in_letters(row: Row) -> set[str]:
    """The letters of a row; none if it was not tested."""
    letters = row.get("letters") or ""
    return set(letters.split() if " " in letters else letters)


def standing(ranked: Sequence[Row]) -> Standing:
    """How methods compare with the first of them, the best."""
    best = ranked[0]
    found = Standing(best, [], [], [], [])
    for row in ranked[1:]:
        if not in_letters(row) or not in_letters(best):
            found.untested.append(row)
        elif not in_letters(row) & in_letters(best):
            found.worse.append(row)
        else:
            (found.vague if found.worse else found.tied).append(row)
    return found


def _best(board: Board, best: Row, methods: int) -> Markup:
    tasks = sorted({row["task"] for row in board.rows if row.get("score_mean") is not None})
    seeds = [row["n_seeds"] for row in board.rows if label_of(row) == best["method"] and row["n_seeds"]]
    where = f"on {visible(tasks[0])}" if len(tasks) == 1 else f"over {len(tasks)} tasks"
    of = str(min(seeds)) if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
    said = Markup("{} has {} mean score {}{} ({}).").format(
        _name(best), "the best" if methods > 1 else "this", where, _after(best, ": {}"), _count(of, "seed")
    )
    if sum(seeds) == board.constant.get(best["method"]):
        said += Markup(" None of its trainings is better than a constant answer.")
    return said


def _ties(ties: Sequence[Row]) -> Markup:
    if not ties:
        return Markup("")
    listed = _listed(ties, lambda row: _name(row) + _after(row, " ({})"))
    said = Markup("Not significantly different from it: {}. That does not show that they are equal").format(listed)
    lows = [-row["difference_to_best_ci95_low"] for row in ties if row.get("difference_to_best_ci95_low") is not None]
    return said + (
        f": the data allow for a score up to {shown(max(lows), 'prose')} worse (95 % interval)." if lows else "."
    )


def _cheapest(candidates: Sequence[Row]) -> Markup:
    """Which of the methods that are not significantly worse than the best costs least."""
    best, by_method = candidates[0], dict[str, list[Markup]]()
    for column, text, unit in LEAST:
        if known := [row for row in candidates if row.get(column) is not None]:
            least = min(known, key=lambda row: row[column])
            size = Markup("{} {}").format(shown(least[column], column), unit)
            if least is not best and best in known:
                size += Markup("; {}: {} {}").format(_name(best), shown(best[column], column), unit)
            by_method.setdefault(least["method"], []).append(Markup("{} ({})").format(text, size))
    if len(candidates) == 1 or not by_method:
        return Markup("")
    said = [Markup("{} {}").format(_bold(name), Markup(" and ").join(texts)) for name, texts in by_method.items()]
    return Markup("Of these {}, {}.").format(len(candidates), Markup("; ").join(said))


def _others(found: Standing) -> Markup:
    said = []
    if found.worse:
        all_are = len(found.worse) > 1 and not (found.tied or found.vague or found.untested)
        lead = "All other methods are significantly worse" if all_are else "Significantly worse"
        said.append(Markup("{}: {}.").format(lead, _listed(found.worse, _behind)))
    if found.vague:
        vary = "varies" if len(found.vague) == 1 else "vary"
        said.append(Markup("Too uncertain to call: {}, which {} so much over seeds or examples that no difference is "
                           "significant.").format(_listed(found.vague, _behind), vary))  # fmt: skip
    if found.untested and in_letters(found.best):
        said.append(Markup("Not tested, for lack of a second seed: {}.").format(_listed(found.untested, _behind)))
    return _joined(said)


def _behind(row: Row) -> Markup:
    return Markup("{} ({})").format(_name(row), shown(row["difference_to_best"], "prose"))


def _nothing(board: Board) -> Markup:
    if any(row.get("score_mean") is not None for row in board.rows):
        return Markup("No method has a score on every task, so none is the best over all of them; the tasks are below.")
    return Markup("No training has finished with a score, so there is nothing to compare.")


def _incomplete(board: Board) -> Markup:
    missing = [row for row in board.overall if row.get("difference_to_best") is None]
    if not missing:
        return Markup("")
    return Markup("Without a score on every task, and so not ranked: {}.").format(_listed(missing, _name))


def _constant(board: Board) -> Markup:
    """Trainings that came to nothing: as records say, or by their test scores."""
    found = dict(board.constant)
    for row in board.overall:
        if row.get("n_collapsed") is not None:
            found[row["method"]] = max(row["n_collapsed"], found.get(row["method"], 0))
    collapsed = sorted(name for name, count in found.items() if count)
    trainings = sum(row["n_seeds"] or 0 for row in board.rows)
    if not found or not trainings:
        return Markup("")
    if not collapsed:
        return Markup("No training collapsed.")
    names = _listed(collapsed, lambda name: Markup("{} {}").format(_bold(name), found[name]))
    return Markup("{} of {} collapsed (no better than a constant answer): {}.").format(
        sum(found.values()), _count(f"{trainings:,}", "training"), names
    )


def _failed(board: Board) -> Markup:
    if not (failed := sum(row.get("n_failed") or 0 for row in board.rows)):
        return Markup("")
    return Markup('<a href="#failures">{} failed</a>.').format(_count(f"{failed:,}", "training"))


def _sensitivity(board: Board, ranked: Sequence[Row]) -> Markup:
    """How small a difference this board could have found: on one task, and in the mean over tasks."""
    said = []
    if found := [row["minimum_detectable_holm"] for row in board.pairs if row["minimum_detectable_holm"] is not None]:
        size = shown(statistics.median(found), "prose")
        said.append(f"Too close to call on a single task: differences of less than about {size} (found with 80 % power "
                    "after correction, median of pairs).")  # fmt: skip
    ends = [(row.get("difference_to_best_ci95_low"), row.get("difference_to_best_ci95_high")) for row in ranked]
    halves = [(high - low) / 2 for low, high in ends if low is not None and high is not None]
    if halves and len({row["task"] for row in board.rows}) > 1:
        size = shown(statistics.median(halves), "prose")
        said.append(f"In the mean over tasks, 95 % intervals of the difference to the best reach {size} to either side "
                    "(median).")  # fmt: skip
    return Markup(" ").join(said)


def _after(row: Row, form: str) -> str:
    """A method's mean score; where metrics of two directions have none, its gain."""
    if row.get("score_mean") is not None:
        return form.format(shown(row["score_mean"], "prose"))
    if row.get("gain_percent") is not None:
        return form.format(f"{shown(row['gain_percent'])} % of the gain of full fine-tuning")
    return ""


def _name(row: Row) -> Markup:
    return _bold(str(row["method"]))


def _bold(name: str) -> Markup:
    return Markup("<strong><bdi>{}</bdi></strong>").format(visible(name))


def _count(number: str, noun: str) -> str:
    return f"{number} {noun}" if number == "1" else f"{number} {noun}s"


def _listed(items: Sequence[Any], said: Callable[[Any], Markup]) -> Markup:
    """Items joined by commas and `and`; if there are many, the first ones and how many more."""
    words = [said(item) for item in items[:MOST_NAMES]]
    if len(items) > MOST_NAMES:
        words.append(Markup("{} more").format(len(items) - MOST_NAMES))
    return Markup(" and ").join([Markup(", ").join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _joined(sentences: Iterable[Markup]) -> Markup:
    return Markup(" ").join(sentence for sentence in sentences if sentence)
