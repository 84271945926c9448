"""What is good to know of a task's data before anything trains on them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Any

from bench.plugins import metric as scoring
from bench.plugins.metric import Metric
from bench.plugins.splits import Cut, conflicts
from bench.plugins.task import SPLITS, Example, Label, Splits, Task

FEW = 5  # examples of a class in train, below which it is named
SHOWN = 10  # classes that are listed


def notes(task: Task, splits: Splits, metric: Metric, used: Splits | None = None) -> Iterator[tuple[str, str]]:
    """Subjects and what to say of each: sizes, classes, their balance, lengths, the score of a constant answer.

    used: the examples that a budget takes of the splits; None: all.
    """
    yield "examples", _sizes(splits)
    if used is not None and _counts(used) != _counts(splits):
        yield "used by this suite", _counts(used)
    used = splits if used is None else used
    for note in splits.notes if isinstance(splits, Cut) else ():
        yield "note", note
    if task.kind == "regression":
        yield "targets", _numbers(splits)
    else:
        yield "classes", _classes(task, splits)
        yield from _rare(task, splits)
    yield "words", _lengths(splits)
    train, test = ([_plain(example.label) for example in used[name]] for name in ("train", "test"))
    if not (train and test):
        return
    answers = scoring.answers_alike(task.kind, scoring.constant_answer(metric, task.kind, train, task.labels), test)
    score = scoring.score([metric], answers, test, task.labels)[metric.name]
    if score is not None:
        yield "constant answer", f"{metric.name} {score:.4f} on test, without a look at the text"


def _place(name: str) -> tuple[int, str]:
    return (SPLITS.index(name) if name in SPLITS else len(SPLITS)), name


def _counts(splits: Splits) -> str:
    return ", ".join(f"{len(splits[name]):,} for {name}" for name in sorted(splits, key=_place))


def _sizes(splits: Splits) -> str:
    """The sizes of the splits, and what came to none of them; numbers that are 0 are left out."""
    parts = []
    if isinstance(splits, Cut):
        read = sum(map(len, splits.values())) + splits.removed + splits.dropped
        parts += [f"{read:,} read", *_some(splits.dropped, "dropped without a text or a label")]
        parts += _some(splits.removed, "removed because of equal inputs")
    found = splits.conflicts if isinstance(splits, Cut) else conflicts(chain.from_iterable(splits.values()))
    parts += _some(found, "input has more than one label" if found == 1 else "inputs have more than one label")
    return ", ".join([*parts, *(f"{len(part):,} for {name}" for name, part in splits.items())])


def _some(count: int, what: str) -> list[str]:
    return [f"{count:,} {what}"] if count else []


def _classes(task: Task, splits: Splits) -> str:
    counts = Counter(label for part in splits.values() for example in part for label in _labels(example))
    common = sorted(counts, key=lambda label: (-counts[label], label))
    shares = [f"{task.labels[label]} {counts[label] / counts.total():.1%}" for label in common]
    if len(shares) > SHOWN:
        shares[SHOWN - 1 : -1] = ["..."]
    of = {"token-classification": " of words", "multi-label": ", shares of all labels that hold"}.get(task.kind, "")
    return f"{len(task.labels)}{of}: {', '.join(shares)}"


def _rare(task: Task, splits: Splits) -> Iterator[tuple[str, str]]:
    found = {name: Counter(chain.from_iterable(map(_labels, part))) for name, part in splits.items()}
    for name in ("train", "test"):
        if missing := [label for at, label in enumerate(task.labels) if not found[name][at]]:
            yield f"not in {name}", _listed(missing)
    if few := [label for at, label in enumerate(task.labels) if 0 < found["train"][at] < FEW]:
        yield f"fewer than {FEW} in train", _listed(few)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)


def _numbers(splits: Splits) -> str:
    labels: list[Any] = [example.label for part in splits.values() for example in part]
    mean, spread = statistics.fmean(labels), statistics.pstdev(labels)
    return f"{min(labels):g} to {max(labels):g}, mean {mean:g}, standard deviation {spread:g}"


def _lengths(splits: Splits) -> str:
    lengths = sorted(_words(example) for part in splits.values() for example in part)
    at_95 = lengths[int(0.95 * (len(lengths) - 1))]
    return f"of an input: median {statistics.median_low(lengths)}, 95 % have up to {at_95}, the longest {lengths[-1]}"


def _words(example: Example) -> int:
    text = example.text
    return (len(text.split()) if isinstance(text, str) else len(text)) + len((example.pair or "").split())


def _labels(example: Example) -> tuple[int, ...]:
    return example.label if isinstance(example.label, tuple) else (int(example.label),)


def _plain(label: Label) -> Any:
    return list(label) if isinstance(label, tuple) else label
