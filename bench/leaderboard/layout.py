"""What people see of the tables: which columns, with how many digits, under which titles.

bench.leaderboard.formats writes what this module lays out, as text, Markdown, LaTeX or HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from bench.leaderboard.rows import Group
from bench.plugins.specs import method_label
from bench.stats import ALPHA

Line = Mapping[str, Any]  # of a table, see bench.leaderboard.columns
BOARD = Group._fields[1:]
UNKNOWN = "-"


class Cell(NamedTuple):
    """text; then, where there are some, a standard deviation, and letters that methods share; bold: stands out."""

    text: str
    spread: str = ""
    letters: str = ""
    bold: bool = False


class Column(NamedTuple):
    """What a column shows of a line. optional: left out where it shows nothing of any line."""

    show: Callable[[Line], Cell | str]
    align: Literal["left", "right"] = "left"
    optional: bool = False


@dataclass(frozen=True)
class Layout:
    """A table for people. columns: the alignment of each, by heading. rows: a cell a column."""

    title: str
    columns: dict[str, Literal["left", "right"]]
    rows: list[list[Cell]]


def text(key: str, optional: bool = False) -> Column:
    return Column(lambda line: UNKNOWN if line[key] is None else str(line[key]), optional=optional)


def number(key: str, form: str = "", unit: float | None = None, optional: bool = False) -> Column:
    """form: as `format` takes it. unit: to divide by."""

    def show(line: Line) -> str:
        value = line[key]
        return UNKNOWN if value is None else format(value if unit is None else value / unit, form)

    return Column(show, "right", optional)


def label_of(line: Line) -> str:
    """The method, parameters in brackets."""
    return method_label(line["method"], line.get("method_params") or "")


METHOD = Column(label_of)
COSTS = {"MiB": number("peak_train_memory_mib", ",.0f"), "ex/s": number("train_examples_per_second", ",.0f")}


def laid_out(parts: Iterable[tuple[str, Sequence[Line]]], columns: Mapping[str, Column]) -> list[Layout]:
    """A table for each title and its lines, all with the same columns."""
    shown = [
        (title, [{name: _cell(column.show(line)) for name, column in columns.items()} for line in lines])
        for title, lines in parts
    ]
    empty = {Cell(UNKNOWN), Cell(""), Cell("0")}
    kept = [
        name
        for name, column in columns.items()
        if not (column.optional and all(row[name] in empty for _, rows in shown for row in rows))
    ]
    aligned = {name: columns[name].align for name in kept}
    return [Layout(title, aligned, [[row[name] for name in kept] for row in rows]) for title, rows in shown]


def _cell(shown: Cell | str) -> Cell:
    return shown if isinstance(shown, Cell) else Cell(shown)


def by_task(lines: Sequence[Line], board: bool = False) -> list[tuple[str, list[Line]]]:
    """Lines by what they are of: task, metric, and model, profile, preset and pooling: all (board) or what varies."""
    varying = [key for key in BOARD if len({line[key] for line in lines}) > 1]
    found = []
    for _, members in groupby(lines, key=itemgetter(*Group._fields)):
        part = list(members)
        metric = next((line["metric"] for line in part if line["metric"]), "no score")
        rest = [_lower(board_title(part[0]))] if board else [f"{key} {part[0][key]}" for key in varying]
        found.append((", ".join([part[0]["task"], metric, *rest]), part))
    return found


def by_board(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """Lines by model, profile, preset and pooling."""
    parts = [list(members) for _, members in groupby(lines, key=itemgetter(*BOARD))]
    return [(board_title(part[0]), part) for part in parts]


def board_title(line: Line) -> str:
    pooling = "" if line["pooling"] == "model" else f", {line['pooling']} pooling"
    return f"Model {line['model']}, profile {line['profile']}, suite {line['preset']}{pooling}"


def scale_of(lines: Iterable[Line], *keys: str) -> float:
    """What scores are multiplied by where differences are shown: 100, or 1 where a score is of another order."""
    values = [abs(line[key]) for line in lines for key in keys if line[key] is not None]
    return 100.0 if max(values, default=0.0) <= 1 else 1.0


def difference(key: str, scale: float, bold: Callable[[Line], bool] = lambda line: False) -> Column:
    """A difference and its interval, the columns `key`, `key`_ci95_low and `key`_ci95_high."""

    def written(value: float, digits: int) -> str:
        return f"{value:+,.4g}" if scale == 1 else f"{scale * value:+.{digits}f}"

    def end(value: float) -> str:
        return written(value, int(abs(scale * value) < 9.95))  # wide intervals take no more room than others

    def show(line: Line) -> Cell:
        value, low, high = (line[f"{key}{end}"] for end in ("", "_ci95_low", "_ci95_high"))
        if value is None:
            return Cell(UNKNOWN)
        if value == 0 and low is None:
            return Cell("")
        ends = "" if low is None else f" ({end(low)}, {end(high)})"
        return Cell(f"{written(value, 1)}{ends}", bold=bold(line))

    return Column(show, "right", optional=True)


# The tables


def overall(lines: Sequence[Line]) -> list[Layout]:
    """The methods over all tasks, a table for each board."""
    columns = {
        "method": METHOD,
        "mean score": number("score_mean", ".4f", optional=True),
        "gain %": number("gain_percent", ".0f", optional=True),
        **_to_other(lines),
        "ties": text("letters", optional=True),
        "best on": number("n_not_worse_than_best", optional=True),
        "share %": number("trainable_share_percent", ".3f"),
        "MiB": number("peak_train_memory_mib", ".0f"),
        "ex/s": number("train_examples_per_second", ".0f"),
        "kB": number("adapter_bytes", ".0f", 1e3),
        "collapsed": number("n_collapsed", optional=True),
        "failed": number("n_failed", optional=True),
    }
    parts = []
    for title, part in by_board(lines):
        tasks = max(line["n_tasks"] for line in part)
        parts.append((f"Over {tasks} task{'' if tasks == 1 else 's'}: {_lower(title)}", part))
    return laid_out(parts, columns)


def _to_other(over: Sequence[Line]) -> dict[str, Column]:
    """The difference to the chosen method where there is one, else to the best."""
    against = next((line["against"] for line in over if line["against"]), None)
    key = "difference_to_best" if against is None else "difference_to_against"
    return {f"less {against or 'the best'}": difference(key, scale_of(over, "score_mean", "difference_to_best"))}


def _lower(title: str) -> str:
    return title[:1].lower() + title[1:]


def tasks(lines: Sequence[Line]) -> list[Layout]:
    """The leaderboard, a table for each task."""
    columns = {
        "method": METHOD,
        "score": Column(_score),
        "ties": text("letters", optional=True),
        "trained": number("trainable_params", ",.0f"),
        "share %": number("trainable_share_percent", ".3f"),
        **COSTS,
        "seeds": number("n_seeds"),
        "status": Column(_status),
    }
    return laid_out(by_task(lines), columns)


def one_task(lines: Sequence[Line], over: Sequence[Line]) -> list[Layout]:
    """The leaderboard of boards of one task each, with the differences of `over`, which else is the first table."""
    of_method = {tuple(line[key] for key in (*BOARD, "method")): line for line in over}
    shown = _to_other(over)

    def of_task(line: Line) -> Cell | str:
        found = of_method.get((*(line[key] for key in BOARD), label_of(line)))
        return UNKNOWN if found is None or "/" in line["task"] else next(iter(shown.values())).show(found)

    columns = {
        "method": METHOD,
        "score": Column(_score),
        **{name: Column(of_task, "right", optional=True) for name in shown},
        "ties": text("letters", optional=True),
        "share %": number("trainable_share_percent", ".3f"),
        **COSTS,
        "kB": number("adapter_bytes", ",.0f", 1e3),
        "seeds": number("n_seeds"),
        "status": Column(_status),
    }
    return laid_out(by_task(lines, board=True), columns)


def matrix(lines: Sequence[Line], over: Sequence[Line]) -> list[Layout]:
    """The leaderboard as a table of methods and tasks for each board, in the order of `over`, the overall table.

    Extra tests are left out. The best of each column is bold.
    """
    found = []
    for (title, part), (_, ordered) in zip(
        by_board(sorted(lines, key=itemgetter(*BOARD))), by_board(over), strict=True
    ):
        scores: dict[str, dict[str, Line]] = {}
        for line in part:
            if "/" not in line["task"]:
                scores.setdefault(line["task"], {})[label_of(line)] = line
        columns = {"method": METHOD, "share %": number("trainable_share_percent", ".3f")}
        for task, by_method in sorted(scores.items()):
            metric = next((line["metric"] for line in by_method.values() if line["metric"]), "no score")
            first = next(iter(by_method))  # a task's lines are from best to worst
            columns[f"{task}, {metric}"] = Column(_in_matrix(by_method, first), "right")
        columns["mean"] = Column(_mean(ordered[0]["method"]), "right", optional=True)
        columns["gain %"] = number("gain_percent", ".0f", optional=True)
        found += laid_out([(title, ordered)], columns)
    return found


def _in_matrix(by_method: Mapping[str, Line], best: str) -> Callable[[Line], Cell]:
    def show(line: Line) -> Cell:
        of = by_method.get(line["method"])
        if of is None:
            return Cell(UNKNOWN)
        return _score(of)._replace(letters=of["letters"] or "", bold=line["method"] == best)

    return show


def _mean(best: str) -> Callable[[Line], Cell]:
    def show(line: Line) -> Cell:
        if line["score_mean"] is None:
            return Cell(UNKNOWN)
        return Cell(f"{line['score_mean']:.4f}", letters=line["letters"] or "", bold=line["method"] == best)

    return show


def cells(lines: Sequence[Line]) -> list[Layout]:
    """Every cell: its score or why there is none, and what its training cost."""
    columns = {
        "cell": text("cell"),
        "method": METHOD,
        "seed": number("seed"),
        "score": number("score", ".4f"),
        **COSTS,
        "seconds": number("total_seconds", ",.0f"),
        "status": Column(lambda line: ": ".join(filter(None, (line["status"], line["reason"] or line["collapsed"])))),
    }
    return laid_out(by_task(lines), columns)


def pairs(lines: Sequence[Line]) -> list[Layout]:
    """Every two methods of a task: how far apart, how sure, and what could have been found at all."""
    columns = {
        "a": text("method_a"),
        "b": text("method_b"),
        "gap": number("difference", "+.4f"),
        "95 % interval": Column(_interval, "right"),
        "p (Holm)": Column(_p_value, "right"),
        "detects": number("minimum_detectable_holm", ".4f"),
    }
    return laid_out(by_task(lines), columns)


def differences(lines: Sequence[Line], over: Sequence[Line], method: str) -> list[Layout]:
    """How far each method lies from one: a table of methods and tasks, and the mean over tasks, for each board.

    lines: the pairs with that method; over: the overall table against it, whose order is kept.
    """
    found = []
    for title, ordered in by_board([line for line in over if line["method"] != method]):
        signed: dict[str, dict[str, Line]] = {}
        for line in lines:
            if "/" not in line["task"] and board_title(line) == title:
                other = line["method_b"] if line["method_a"] == method else line["method_a"]
                signed.setdefault(f"{line['task']}, {line['metric']}", {})[other] = _signed(line, method)
        columns = {f"less {method}": METHOD}
        scale = scale_of([line for of in signed.values() for line in of.values()], "apart")
        for task, of in sorted(signed.items()):
            show = difference("apart", scale, lambda line: line["p_holm"] is not None and line["p_holm"] < ALPHA)
            columns[task] = Column(_of_method(show, of), "right")
        columns["mean"] = difference("difference_to_against", scale, _without_zero)
        found += laid_out([(title, ordered)], columns)
    return found


def _without_zero(line: Line) -> bool:
    low, high = (line[f"difference_to_against_ci95_{end}"] for end in ("low", "high"))
    return low is not None and (low > 0 or high < 0)


def _of_method(column: Column, of: Mapping[str, Line]) -> Callable[[Line], Cell | str]:
    return lambda line: column.show(of[line["method"]]) if line["method"] in of else UNKNOWN


def _signed(line: Line, method: str) -> dict[str, Any]:
    """A pair's difference as that of the other method less this one."""
    keys = ("difference", "ci95_low", "ci95_high")
    if line["method_a"] == method:
        value, high, low = (None if line[key] is None else -line[key] for key in keys)
    else:
        value, low, high = (line[key] for key in keys)
    return {"apart": value, "apart_ci95_low": low, "apart_ci95_high": high, "p_holm": line["p_holm"]}


def _score(line: Line) -> Cell:
    if line["score_mean"] is None:
        return Cell(UNKNOWN)
    return Cell(f"{line['score_mean']:.4f}", "" if line["score_std"] is None else f"{line['score_std']:.4f}")


def _status(line: Line) -> str:
    """With the trainings that came to nothing, whose scores count all the same."""
    return f"{line['status']}, {line['n_collapsed']} collapsed" if line["n_collapsed"] else str(line["status"])


def _interval(line: Line) -> str:
    return UNKNOWN if line["ci95_low"] is None else f"{line['ci95_low']:+.4f} to {line['ci95_high']:+.4f}"


def _p_value(line: Line) -> str:
    """With a star where it is significant."""
    value = line["p_holm"]
    return UNKNOWN if value is None else f"{'*' if value < ALPHA else ''}{p_text(value)}"


def p_text(value: float) -> str:
    """A p-value with no more digits than mean something, and never 0."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
