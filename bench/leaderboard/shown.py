"""Tables as people read them, by name and format, with a legend of what the columns mean."""

from __future__ import annotations

import statistics
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.leaderboard import layout
from bench.leaderboard.files import csv_of
from bench.leaderboard.formats import as_html, as_latex, as_markdown, as_text
from bench.leaderboard.layout import Layout, Line
from bench.leaderboard.tables import Tables
from bench.sanitize import legal, one_line

TEXT = "text"
WIDTH = 100  # of a legend
WRITERS: Mapping[str, Callable[[Sequence[Layout], str], str]] = {
    "markdown": as_markdown, "latex": as_latex, "html": as_html,
}  # fmt: skip
FORMATS = ("csv", *WRITERS)
# What headings mean, in the order in which a legend says it.
MEANINGS = {
    "score": "score: mean ± standard deviation over seeds on the test split",
    "mean": "mean: over tasks{convention}",
    "gain %": "gain: share of the way from head to full, mean over tasks",
    "less the best": "less the best: difference of means{points}, with 95 % intervals, simultaneous for all pairs",
    "less": "less {method}: difference of means{points}, with 95 % intervals, simultaneous for these comparisons",
    "differences": "Differences from {method}{points}, with 95 % intervals over seeds and test examples, which are "
    "simultaneous in the column of the mean alone. Bold: significant, corrected for the comparisons with {method}",
    "bold": "Bold: the best",
    "ties": "ties: methods that share a letter do not differ significantly (5 %, corrected for all pairs)",
    "best on": "best on: number of tasks on which the method is not significantly worse than the best",
    "share %": "share, trained: of parameters, without the head",
    "MiB": "MiB: peak while training{memory}",
    "ex/s": "ex/s: training examples per second",
    "kB": "kB: size of what is saved",
    "collapsed": "collapsed: trainings that came to nothing, see `leaderboard --per-cell`",
    "gap": "gap: how much better a is than b, over common seeds, with its interval over seeds and test examples",
    "p (Holm)": "p: corrected for {family}, * below 0.05",
    "detects": "detects: the smallest true difference found with 80 % power after that correction",
}


def shown(which: str, tables: Tables, form: str = TEXT, against: str | None = None) -> str:
    """A table by its name (see bench.leaderboard.columns) in a format: TEXT or one of FORMATS.

    As text the leaderboard is a table a task, after the overall table; of one task, one table with what both would
    say. Elsewhere it is one of methods and tasks.
    against: see `Tables.lines`; pairs are then a table of methods and tasks, too, but as text.
    """
    lines = list(tables.lines(which, against))
    if form == "csv":
        return csv_of(lines, tables.columns(which))
    if not lines:
        return "No two methods have a score on one task." if which == "pairs" else "No records."
    over = lines if which == "overall" else list(tables.lines("overall", against))
    layouts = _layouts(which, lines, over, form, against)
    legend = legend_of(layouts, tables, against)
    if which == "overall":
        legend = " ".join([legend, *_ranks(over)])
    if which == "leaderboard":
        legend += tuning(lines)
    if form != TEXT:
        return WRITERS[form](layouts, legend)
    parts = [as_text([each for each in layouts if list(each.columns) == columns]) for columns in _distinct(layouts)]
    return "\n\n".join([*parts, textwrap.fill(legal(legend), WIDTH, break_on_hyphens=False, break_long_words=False)])


def _layouts(which: str, lines: Sequence[Line], over: Sequence[Line], form: str, against: str | None) -> list[Layout]:
    match which:
        case "cells":
            return layout.cells(lines)
        case "overall":
            return layout.overall(over)
        case "pairs":
            return layout.pairs(lines) if against is None or form == TEXT else layout.differences(lines, over, against)
    if form != TEXT:
        return layout.matrix(lines, over)
    if all(line["n_tasks"] < 2 for line in over):
        return layout.one_task(lines, over)
    return [*layout.overall(over), *layout.tasks(lines)]


def _distinct(layouts: Iterable[Layout]) -> list[list[str]]:
    return [list(names) for names in dict.fromkeys(tuple(each.columns) for each in layouts)]


def legend_of(layouts: Sequence[Layout], tables: Tables, against: str | None = None) -> str:
    """What the columns of these tables mean, in sentences."""
    headings = {name for each in layouts for name in each.columns}
    cells = [cell for each in layouts for row in each.rows for cell in row]
    of_tasks = against is not None and any(next(iter(each.columns)) == f"less {against}" for each in layouts)
    used = {
        "differences": of_tasks,
        "score": any(cell.spread for cell in cells),
        "mean": "mean score" in headings,
        "less": not of_tasks and f"less {against}" in headings,
        "ties": any(cell.letters for cell in cells),
        "bold": not of_tasks and any(cell.bold for cell in cells),
    }
    headings = headings - {"score", *(["mean"] if of_tasks else [])} | {name for name, yes in used.items() if yes}
    lines = list(tables.lines("leaderboard"))
    kinds = sorted({line["memory_kind"] for line in lines if line["memory_kind"]})
    metrics = {line["metric"] for line in lines if line["metric"]}
    scale = layout.scale_of(tables.lines("overall"), "score_mean", "difference_to_best")
    words = {
        "points": " in points (hundredths of a score)" if scale > 1 else "",
        "convention": ", a convention where metrics differ" if len(metrics) > 1 else "",
        "method": against and _unbroken(against),
        "family": "all pairs of a task" if against is None else f"the pairs of a task with {_unbroken(against)}",
        "memory": f" ({_unbroken(', '.join(kinds))})" if kinds else "",
    }
    meanings = (f"{meaning.format(**words)}." for name, meaning in MEANINGS.items() if name in headings)
    return " ".join([*meanings, *_detectable(tables, against)])


def _detectable(tables: Tables, against: str | None) -> list[str]:
    """A sentence on the differences that are large enough to be found: on each task the median pair's."""
    found = []
    for _, lines in layout.by_task(list(tables.lines("pairs", against))):
        values = [line["minimum_detectable_holm"] for line in lines if line["minimum_detectable_holm"] is not None]
        if values:
            found.append(f"{_unbroken(lines[0]['task'])} {statistics.median(values):.2g}")
    if not found:
        return []
    family = "all pairs" if against is None else f"the comparisons with {_unbroken(against)}"
    return [
        f"Differences found with 80 % power, corrected for {family} (the median pair's): {', '.join(found)}; "
        "see `plan --detect`."
    ]


def _unbroken(name: str) -> str:
    """On one line, and not broken by a wrapped legend: no line begins with a part of somebody's text."""
    return one_line(name).replace(" ", "\u00a0")


def _ranks(over: Sequence[Line]) -> list[str]:
    """A sentence on the average ranks of each board."""
    found = []
    for _, part in layout.by_board(over):
        ranked = sorted(
            (line for line in part if line["average_rank"] is not None), key=lambda each: each["average_rank"]
        )
        if ranked:
            named = ", ".join(f"{_unbroken(line['method'])} {line['average_rank']:.2f}" for line in ranked)
            p_value = ranked[0]["friedman_p"]
            friedman = "" if p_value is None else f"; Friedman's p: {layout.p_text(p_value)}"
            found.append(
                f"Average ranks over {ranked[0]['n_tasks']} tasks: {named}. Ranks closer than "
                f"{ranked[0]['critical_difference']:.2f} do not differ significantly (Nemenyi, 5 %){friedman}."
            )
    return found


def tuning(lines: Iterable[Line]) -> str:
    """With which budget the leaderboard's rows were tuned: whether the comparison is fair."""
    budgets = Counter((row["tuning_trials"], row["tuning_examples"]) for row in lines if row["n_seeds"])
    several = len(budgets) > 1

    def words(trials: int | None, examples: int | None) -> str:
        if trials == 0:
            return "inherited from another variant"
        return (
            f"tuned by {trials} trials of {examples:,} examples" if trials and examples else "not tuned for this budget"
        )

    parts = [
        words(trials, examples) + (f" ({count} {'row' if count == 1 else 'rows'})" if several else "")
        for (trials, examples), count in sorted(budgets.items(), key=lambda item: -item[1])
    ]
    return f" Recipes: {one_line('; '.join(parts))}." if parts else ""
