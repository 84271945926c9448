"""What every task promises: of what it declares, and of the data that it reads."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from bench.check import Clause, clause
from bench.check.reading import Reading, digest
from bench.errors import SourceError
from bench.plugins import metrics
from bench.plugins.splits import identity
from bench.plugins.task import SPLITS, Example, Label, Task
from bench.sources.references import parse

SHORTEST = 8  # the four special tokens of a pair on RoBERTa, and two pieces of each text


@clause("labels suit the kind: distinct names, in BIO for token classification, and none for a regression.")
def labels(reading: Reading) -> str | None:
    task = reading.task
    names: Any = task.labels  # whatever a third party put there
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        return f"labels must be a sequence of names, and is {names!r}"
    if len(set(names)) < len(names):
        return f"labels names {next(name for name in names if list(names).count(name) > 1)!r} twice"
    if task.kind == "regression":
        return f"a regression has no labels, and these are named: {', '.join(names)}" if names else None
    if len(names) < 2:
        return f"there are at least two labels to choose from, and labels is {names!r}"
    if task.kind == "token-classification":
        if task.pair:
            return "token classification reads one text, and pair is True"
        for name in names:
            if name != "O" and name[:2] not in ("B-", "I-"):
                return f"the label {name!r} is none of O, B-..., I-..., which entities are scored by"
            if name[:2] == "I-" and f"B-{name[2:]}" not in names:
                return f"the label {name!r} goes on with what no label begins"
    return None


@clause("metric is one for this kind of task.")
def metric(reading: Reading) -> str | None:
    task = reading.task
    fits = [name for name, info in metrics.METRICS.items() if info.kind == task.kind]
    if task.metric not in fits:
        return f"{task.metric!r} does not score {task.kind}; these do: {', '.join(fits)}"
    perfect = _score(task, _made_up(task))
    return None if perfect is not None else f"{task.metric!r} is not defined for {len(task.labels)} labels"


@clause("max_length is a number of tokens that leaves room for a text.")
def max_length(reading: Reading) -> str | None:
    length: Any = reading.task.max_length
    if type(length) is not int or length < SHORTEST:
        return f"max_length must be a whole number of at least {SHORTEST}, and is {length!r}"
    return None


@clause("citation says whose data it is.")
def citation(reading: Reading) -> str | None:
    text: Any = reading.task.citation
    return None if isinstance(text, str) and text.strip() else f"citation must say whose data it is, and is {text!r}"


@clause("source is a pinned reference.")
def source(reading: Reading) -> str | None:
    try:
        parse(reading.task.source)
    except SourceError as error:
        return str(error)
    return None


@clause("read gives train, validation, test and the extra tests, each a list of examples that is not empty.")
def reads(reading: Reading) -> str | None:
    try:
        splits: Any = reading.splits
    except SourceError as error:
        return f"{error} (--no-data leaves the data out)"
    if not isinstance(splits, dict):
        return f"read returns a {type(splits).__name__}, and not a dict of splits"
    expected = (*SPLITS, *reading.task.extra_tests)
    for name in sorted(set(expected) ^ splits.keys()):
        return f"the split {name!r} is {'missing' if name in expected else 'not declared (extra_tests)'}"
    for name, found in splits.items():
        if not isinstance(found, list) or not found:
            return f"the split {name!r} is {'empty' if found == [] else 'not a list'}"
        for at, example in enumerate(found):
            if not isinstance(example, Example):
                return f"{name}[{at}] is a {type(example).__name__}, and not an Example"
    return None


@clause("Reading the same files again gives the same examples in the same order, in another process too.")
def reads_alike(reading: Reading) -> str | None:
    if reading.digest_elsewhere() == digest(reading.splits):
        return None
    return "another process reads the same files differently: an order may come from chance, or from a set"


@clause("No input of validation or a test stands in train, and none of a test in validation.")
def splits_disjoint(reading: Reading) -> str | None:
    inputs = {name: {identity(example) for example in found} for name, found in reading.splits.items()}
    tests = [name for name in inputs if name not in ("train", "validation")]  # of which two may ask the same
    for one, other in [("train", "validation"), *itertools.product(("train", "validation"), tests)]:
        if common := inputs[one] & inputs[other]:
            text = min(common).replace("\x1f", " | ").strip(" |")
            return f"{len(common)} inputs stand in {one} and in {other}, such as {_short(text)}"
    return None


@clause("Texts are of the kind's type and not blank, and there is a second one where the task says so.")
def texts(reading: Reading) -> str | None:
    words = reading.task.kind == "token-classification"
    for where, example in _examples(reading):
        text: Any = example.text
        parts = text if words and isinstance(text, tuple) else (text,)
        if isinstance(text, tuple) != words or not parts or not all(isinstance(part, str) for part in parts):
            return f"{where}: the text must be {'a tuple of words' if words else 'a string'}, and is {_short(text)}"
        if not all(part.strip() for part in parts):
            return f"{where}: the text is blank, or one of its words: {_short(text)}"
        pair: Any = example.pair
        if (pair is not None) != reading.task.pair:
            return f"{where}: pair is {_short(pair)}, and the task's pair is {reading.task.pair}"
        if pair is not None and not (isinstance(pair, str) and pair.strip()):
            return f"{where}: the second text is no string or blank: {_short(pair)}"
    return None


@clause("Labels are of the kind's type and in its range, and no class is tested that train does not show.")
def labels_in_range(reading: Reading) -> str | None:
    task = reading.task
    for where, example in _examples(reading):
        if fault := _label_fault(task, example):
            return f"{where}: {fault}"
    if task.kind == "classification":
        shown, asked = ({example.label for example in reading.splits[name]} for name in ("train", "test"))
        for label in sorted(asked - shown, key=repr):
            return f"train has no example of label {label} ({task.labels[int(str(label))]}), which test asks for"
    return None


@clause("The metric scores right answers best, and tells them from the best answer that ignores the input.")
def scores(reading: Reading) -> str | None:
    task = reading.task
    seen = [_plain(example.label) for example in reading.splits["train"]]
    better = 1 if metrics.METRICS[task.metric].higher_is_better else -1
    for name in ("test", *task.extra_tests):
        references = [_plain(example.label) for example in reading.splits[name]]
        perfect = _score(task, references)
        if perfect is None:
            return f"the {task.metric} of right answers to {name} is not defined"
        constant = metrics.constant_answer(task.metric, seen, references, task.labels)
        if constant is None and task.kind != "regression":  # a constant has no correlation
            return f"the {task.metric} of one answer to all of {name} is not defined"
        if constant is not None and better * constant >= better * perfect:
            return f"one answer to all of {name} is as good as the right ones"
    return None


STATIC: tuple[Clause[Reading], ...] = (labels, metric, max_length, citation, source)
DATA: tuple[Clause[Reading], ...] = (
    reads,  # the first: where it does not hold, the others say nothing
    texts,
    labels_in_range,
    splits_disjoint,
    scores,
    reads_alike,
)


def _examples(reading: Reading) -> Iterator[tuple[str, Example]]:
    for name, found in reading.splits.items():
        for at, example in enumerate(found):
            yield f"{name}[{at}]", example


def _label_fault(task: type[Task], example: Example) -> str | None:
    label: Any = example.label
    if task.kind == "regression":
        fits = type(label) is float and math.isfinite(label)
        return None if fits else f"the label must be a finite float, and is {label!r}"
    each = label if task.kind == "token-classification" else (label,)
    if not isinstance(each, tuple) or any(type(index) is not int for index in each):
        return f"the label must be {'a tuple of ints' if each is label else 'an int'}, and is {_short(label)}"
    if each is label and len(label) != len(example.text):
        return f"there are {len(label)} labels for {len(example.text)} words"
    for index in each:
        if not 0 <= index < len(task.labels):
            return f"the label {index} is none of the {len(task.labels)} that are declared"
    return None


def _made_up(task: type[Task]) -> list[Any]:
    """Right answers that use every label."""
    if task.kind == "regression":
        return [0.0, 1.0, 2.0]
    every = list(range(len(task.labels)))
    return [every, every] if task.kind == "token-classification" else every * 2


def _score(task: type[Task], references: list[Any]) -> float | None:
    return metrics.score(task.metric, references, references, task.labels)[task.metric]


def _plain(label: Label) -> Any:
    return list(label) if isinstance(label, tuple) else label


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
