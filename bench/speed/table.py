"""What was measured, for people."""

from __future__ import annotations

import statistics

from bench.measure.time import DROPPED_STEPS
from bench.speed.answers import Answer, answers
from bench.speed.catalogue import CONTENDERS, HEAD_EPOCHS
from bench.speed.setting import BATCH
from bench.speed.suite import Measured
from bench.text import text_table


def speed_text(found: Measured) -> str:
    """The contenders, the answers beside their targets, and what the figures are."""
    return "\n\n".join(part for part in (_contenders(found), _answers(found), _notes(found)) if part)


def _contenders(found: Measured) -> str:
    rows = [
        {
            "contender": name,
            "what": CONTENDERS[name].what,
            "ex/s": f"{statistics.median(speeds):,.0f}",
            "rounds": f"{min(speeds):,.0f} to {max(speeds):,.0f}",
            "tokens/s": f"{statistics.median(found.tokens_per_second[name]):,.0f}",
        }
        for name, speeds in ((name, found.examples_per_second.get(name)) for name in CONTENDERS)
        if speeds
    ]
    return text_table(rows, ["left", "left", "right", "right", "right"]) if rows else ""


def _answers(found: Measured) -> str:
    rows = [
        {
            "question": answer.question,
            "median": _figure(answer, answer.ratio.median),
            "95 % of the mean": _interval(answer),
            "target": _target(answer),
            "met": {None: "", True: "yes", False: "no"}[answer.met],
        }
        for answer in answers(found)
    ]
    return text_table(rows, ["left", "right", "right", "right", "left"]) if rows else ""


def _figure(answer: Answer, value: float) -> str:
    return f"{100 * value:.0f} %" if answer.unit == "%" else f"{value:.2f} x"


def _interval(answer: Answer) -> str:
    low, high = answer.ratio.low, answer.ratio.high
    return "-" if low is None or high is None else f"{_figure(answer, low)} to {_figure(answer, high)}"


def _target(answer: Answer) -> str:
    if answer.target is None:
        return ""
    return f"{'<=' if answer.at_most else '>='} {_figure(answer, answer.target)}"


def _notes(found: Measured) -> str:
    request = found.request
    rounds = f"{request.rounds} round{'s' if request.rounds != 1 else ''}"
    lines = [
        f"{request.model}, {found.task}, {rounds} of {request.examples:,} examples each, drawn anew for a round and "
        "the same for all in it;",
        f"batches of {BATCH}, {request.threads} threads, the model's own dropout, no clipping. ex/s: examples of mean "
        "length a second over the whole",
        f"training call after its first {DROPPED_STEPS} steps (batches, collating, optimiser, schedule and the end of "
        "the call included).",
        "median: of the rounds' ratios; the interval is that of their geometric mean.",
    ]
    if found.gflops:
        work, rate = found.work, statistics.median(found.gflops)
        lines += [
            f"Products of [{found.product_tokens}, inputs] with the model's layers: {rate:,.0f} GFLOP/s (median of "
            "rounds). PASTA's share counts",
            f"{work.layers / 1e6:,.1f} MFLOP a token that is no padding; attention's own products "
            f"({work.attention / 1e6:,.1f} MFLOP a token) are not in it.",
        ]
    if found.head_epochs:
        firsts, laters = zip(*found.head_epochs, strict=True)
        lines.append(
            f"The head alone: {statistics.median(firsts):.2f} s for the first epoch, {statistics.median(laters):.3f} s "
            f"for each of the {HEAD_EPOCHS - 1} after it (medians)."
        )
    if found.growth_mib:
        known = ", ".join(f"{name} {_mib(growth)}" for name, growth in found.growth_mib.items())
        lines.append(f"Growth of resident memory over the loaded model, each in a process of its own: {known}.")
    return "\n".join(lines)


def _mib(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f} MiB"
