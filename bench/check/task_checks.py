"""What every task must do: in what it declares, and in the data that it reads.

python -m bench.check.task_checks MODULE FILE CLASS SOURCE       prints the digest of what a task reads
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.check import data_notes
from bench.check.checks import Check, OnProgress, Outcome, run_check, run_checks
from bench.errors import BenchError, SourceError
from bench.grid.suites import Budget
from bench.plugins import metric as scoring
from bench.plugins import registry, table_task
from bench.plugins.duplicates import near
from bench.plugins.method import Method
from bench.plugins.metric import Metric
from bench.plugins.registry import Registry, load_file
from bench.plugins.splits import compared, identity
from bench.plugins.task import SPLITS, Example, Label, Splits, Task, settle
from bench.sources.references import parse

SOME = 2000  # of a split that is compared with train: splits are shuffled, so the first are a fair sample
SHORTEST = 8  # the four special tokens of a pair on RoBERTa, and two pieces of each text


@dataclass
class Reading:
    """A task and what it reads, once. source: the file or folder, or why it is unavailable. metrics: all there are."""

    plugin: type[Task]
    source: Path | SourceError
    metrics: Registry[Metric] = field(default_factory=registry.metrics)
    known: Task | None = None

    @cached_property
    def task(self) -> Task:
        """With the labels of its data, if it declares none and the data are here."""
        if self.plugin.labels_in_data and self.known is None:
            with contextlib.suppress(SourceError):
                return self._read[0]
        return self.known or self.plugin()

    @cached_property
    def splits(self) -> Splits:
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[Task, Splits]:
        if isinstance(self.source, SourceError):
            raise self.source
        task = self.plugin()
        return task, settled(task, self.source)

    def examples(self) -> Iterator[tuple[str, Any]]:
        """Every example with its place, whatever `read` returned as one."""
        for name, found in self.splits.items():
            for at, example in enumerate(found):
                yield f"{name}[{at}]", example


def labels(reading: Reading) -> Iterator[str]:
    """labels suit the kind: distinct names, and none for a regression."""
    task = reading.task
    names: Any = task.labels  # whatever a third party put there
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        yield f"labels must be a sequence of names, and is {names!r}"
    if len(set(names)) < len(names):
        yield f"labels names {next(name for name in names if list(names).count(name) > 1)!r} twice"
    if task.kind == "regression" and names:
        yield f"a regression has no labels, and these are named: {', '.join(names)}"
    if task.kind == "token-classification" and task.pair:
        yield "token classification reads one text, and pair is True"


def metric(reading: Reading) -> Iterator[str]:
    """metric is one for this kind of task, this number of labels, and what they are called."""
    task, count = reading.task, len(reading.task.labels)
    try:
        found = registry.metrics_of(task, reading.metrics)[0].plugin
    except BenchError as error:
        yield str(error).removesuffix(".")
        return
    if task.labels_in_data and not count:  # unknown without the data
        return
    if not scoring.scores_task(found, task.kind, count):
        what = f"{count} labels" if task.kind in found.kinds else task.kind
        fits = [name for name in reading.metrics.names()
                if scoring.scores_task(reading.metrics.found[name].plugin, task.kind, count)]  # fmt: skip
        yield f"the metric {task.metric!r} does not score {what}; these do: {', '.join(fits)}"
    if reason := found().refuses(task.labels):
        yield reason


def max_length(reading: Reading) -> Iterator[str]:
    """max_length is a number of tokens that leaves room for a text."""
    length: Any = reading.task.max_length
    if type(length) is not int or length < SHORTEST:
        yield f"max_length must be a whole number of at least {SHORTEST}, and is {length!r}"


def citation(reading: Reading) -> Iterator[str]:
    """citation says whose data it is."""
    text: Any = reading.task.citation
    if not isinstance(text, str) or not text.strip():
        yield f"citation must say whose data it is, and is {text!r}"


def source(reading: Reading) -> Iterator[str]:
    """source is a well-formed reference."""
    try:
        parse(reading.task.source)
    except SourceError as error:
        yield str(error)


def reads(reading: Reading) -> Iterator[str]:
    """read gives train, validation, test and the extra tests, each a list of examples that is not empty."""
    try:
        splits: Any = reading.splits
    except SourceError as error:
        yield f"{error} (--no-data skips the data)"
    if not isinstance(splits, dict):
        yield f"read returns a {type(splits).__name__}, not a dict of splits"
    expected = (*SPLITS, *reading.task.extra_tests)
    for name in sorted(set(expected) ^ splits.keys()):
        yield f"the split {name!r} is {'missing' if name in expected else 'not declared (extra_tests)'}"
    for name, found in splits.items():
        if not isinstance(found, list) or not found:
            yield f"the split {name!r} is {'empty' if found == [] else 'not a list'}"
    for where, example in reading.examples():
        if not isinstance(example, Example):
            yield f"{where} is a {type(example).__name__}, not an Example"


def reads_alike(reading: Reading) -> Iterator[str]:
    """Reading the same files again gives the same examples in the same order, in another process too."""
    # An interpreter that hashes strings differently orders sets differently.
    task = reading.task
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
    plugin = type(task)
    file = task.file if isinstance(task, table_task.TableTask) else inspect.getfile(plugin)
    where = [plugin.__module__, str(file), plugin.__qualname__, str(reading.source)]
    done = subprocess.run([sys.executable, "-m", __name__, *where], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield f"another process cannot read the files: {last}"
    if done.stdout.split()[-1] != digest(reading.splits):
        yield "another process reads the same files differently: an order may be random, or that of a set"


def splits_disjoint(reading: Reading) -> Iterator[str]:
    """No input of validation or a test is in train, and none of a test in validation."""
    inputs = {name: {identity(example) for example in found} for name, found in reading.splits.items()}
    tests = [name for name in inputs if name not in ("train", "validation")]  # of which two may share an input
    for one, other in [("train", "validation"), *itertools.product(("train", "validation"), tests)]:
        if common := inputs[one] & inputs[other]:
            text = min(common).replace("\x1f", " | ").strip(" |")
            yield f"{len(common)} inputs are both in {one} and in {other}, such as {_short(text)}"


def texts(reading: Reading) -> Iterator[str]:
    """Texts are of the kind's type and not blank, and there is a second one where the task says so."""
    words = reading.task.kind == "token-classification"
    for where, example in reading.examples():
        text, pair = example.text, example.pair
        parts = text if words and isinstance(text, tuple) else (text,)
        if isinstance(text, tuple) != words or not parts or not all(isinstance(part, str) for part in parts):
            yield f"{where}: the text must be {'a tuple of words' if words else 'a string'}, and is {_short(text)}"
        if not all(part.strip() for part in parts):
            yield f"{where}: the text, or one of its words, is blank: {_short(text)}"
        if (pair is not None) != reading.task.pair:
            yield f"{where}: pair is {_short(pair)}, and the task's pair is {reading.task.pair}"
        if pair is not None and not (isinstance(pair, str) and pair.strip()):
            yield f"{where}: the second text is no string, or blank: {_short(pair)}"


def labels_in_range(reading: Reading) -> Iterator[str]:
    """Labels are of the kind's type and in its range, and every class of test is also in train."""
    task = reading.task
    for where, example in reading.examples():
        for error in _label_errors(task, example):
            yield f"{where}: {error}"
    if task.kind in ("classification", "multi-label"):
        train, test = (
            {index for example in reading.splits[name] for index in _indices(example.label)}
            for name in ("train", "test")
        )
        for label in sorted(test - train):
            yield f"test has examples of label {label} ({task.labels[label]}), and train has none"


def _indices(label: Any) -> tuple[int, ...]:
    return label if isinstance(label, tuple) else (label,)


def _label_errors(task: Task, example: Any) -> Iterator[str]:
    label = example.label
    if task.kind == "regression":
        if type(label) is not float or not math.isfinite(label):
            yield f"the label must be a finite float, and is {label!r}"
        return
    words = task.kind == "token-classification"
    several = words or task.kind == "multi-label"
    each = label if several else (label,)
    if not isinstance(each, tuple) or any(type(index) is not int for index in each):
        yield f"the label must be {'a tuple of ints' if several else 'an int'}, and is {_short(label)}"
    if words and len(label) != len(example.text):
        yield f"there are {len(label)} labels for {len(example.text)} words"
    for index in each:
        if not 0 <= index < len(task.labels):
            yield f"the label {index} is none of the {len(task.labels)} that are declared"
    if several and not words and list(label) != sorted(set(label)):
        yield f"the label must have each index once, ascending, and is {_short(label)}"


def scores(reading: Reading) -> Iterator[str]:
    """The metric is best for the right answers, and worse for the best answer that ignores the input."""
    task = reading.task
    seen = [_plain(example.label) for example in reading.splits["train"]]
    metric = reading.metrics.get(task.metric).plugin()
    better = 1 if metric.higher_is_better else -1
    answer = scoring.constant_answer(metric, task.kind, seen, task.labels)
    right = scoring.probabilities_of if metric.of_probabilities else lambda kind, references, labels: references

    def score(answers: list[Any], references: list[Any]) -> float | None:
        return scoring.score([metric], answers, references, task.labels)[metric.name]

    for name in ("test", *task.extra_tests):
        references = [_plain(example.label) for example in reading.splits[name]]
        perfect = score(right(task.kind, references, task.labels), references)
        if perfect is None:
            yield f"the {task.metric} of the right answers to {name} is undefined"
            return
        constant = score(scoring.answers_alike(task.kind, answer, references), references)
        # A constant has no correlation.
        if constant is not None and better * constant >= better * perfect:
            yield f"one answer to all of {name} is as good as the right ones"


STATIC: tuple[Check[Reading], ...] = (labels, metric, max_length, citation, source)
# `reads` is the first: unless it passes, the others have nothing to look at.
DATA: tuple[Check[Reading], ...] = (reads, texts, labels_in_range, splits_disjoint, scores, reads_alike)


def refusal(task: Task, metrics: Registry[Metric]) -> str | None:
    """Why a task cannot be trained, by what it declares, and by its labels once it has read them; None: it can."""
    reading = Reading(type(task), SourceError("The data are not read."), metrics, task)
    outcomes = (run_check(check, reading) for check in (labels, metric, max_length))
    return next((outcome.reason for outcome in outcomes if outcome.status == "failed"), None)


def task_outcomes(reading: Reading, with_data: bool, report: OnProgress = lambda progress: None) -> Iterator[Outcome]:
    """A task's checks."""
    for check in STATIC:
        yield from run_checks((check,), reading, report)
    if with_data:
        outcomes = list(run_checks(DATA, reading, report))
        yield from outcomes
        if all(outcome.status == "ok" for outcome in outcomes):
            report({"check": "near-duplicates", "on": None})
            yield from notes(reading)


def notes(reading: Reading) -> Iterator[Outcome]:
    """What is good to know of data that keep the contract."""
    splits = reading.splits
    train = [compared(example) for example in splits["train"]]
    for name in ("test", *reading.task.extra_tests):
        some = [compared(example) for example in splits[name][:SOME]]
        share = near(some, train).mean()
        what = "Near-duplicates share at least half of their character 5-grams (Jaccard), digits masked."
        reason = f"{share:.1%} of {len(some):,} examples of {name} have a near-duplicate in train"
        yield Outcome("near-duplicates", what, "note", reason)
    what = "Inputs are equal if they differ in case and white space at most (Unicode NFKC)."
    for subject, note in data_notes.notes(reading.task, splits, reading.metrics.get(reading.task.metric).plugin()):
        yield Outcome(subject, what, "note", note)


def model_outcomes(reading: Reading, with_data: bool, folder: Path, methods: Sequence[Method]) -> Iterator[Outcome]:
    """Whether methods can train a model on a task, and what is doubtful about it, with data that keep the contract."""
    from bench.train import fit  # loads torch, which the other checks do not need

    what = (
        "The model's weights are complete, and its tokenizer, embeddings and positions suit the task and the methods."
    )
    try:
        found = fit.Fit(fit.Model.of(folder), reading.task, methods)
        fit.require(found)
        notes = list(fit.notes(found, reading.splits if with_data else None, Budget()))
    except BenchError as error:
        yield Outcome("model", what, "failed", str(error))
        return
    yield Outcome("model", what, "ok")
    for note in notes:
        yield Outcome("model", what, "note", note)


def _plain(label: Label) -> Any:
    return list(label) if isinstance(label, tuple) else label


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def settled(task: Task, source: Path) -> Splits:
    """What a task reads, with labels in the form that a run brings them into."""
    splits = task.read(source)
    with contextlib.suppress(AttributeError, TypeError, ValueError):  # whatever it is: the checks say what it must be
        settle(task, splits)
    return splits


def digest(splits: Splits) -> str:
    """A hash of every text and label, and of their order."""
    return hashlib.sha256(json.dumps(splits, sort_keys=True, default=repr).encode()).hexdigest()


def main(module: str, file: str, name: str, source: str) -> None:
    if file.endswith(".toml"):
        plugin = table_task.load(Path(file))
    else:
        found = load_file(Path(file)) if module.startswith("bench_plugin_") else importlib.import_module(module)
        plugin = getattr(found, name)
    print(digest(settled(plugin(), Path(source))))


if __name__ == "__main__":
    main(*sys.argv[1:])
