"""A metric: the base class of every plugin in bench/metrics/, and what a task does with its own.

Importable without numpy. The libraries are imported when a score is computed, not before.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

from bench.plugins.task import Kind

if TYPE_CHECKING:
    from bench.stats.per_example import Floats, Score

MOST_BY_BRUTE_FORCE = 1_000  # examples of a metric that is computed anew without each one of them
LARGEST = 10**15  # the largest number or index of which shares are computed: sums of squares stay finite


class Metric:
    """How predictions become a score. The registry finds a subclass in bench/metrics/NAME.py.

    kinds: of the tasks that it scores. binary: it is defined for two labels alone. companions: names of metrics that
    are reported beside it, where they score the same task. bounds: the least and the largest score that there can be,
    for charts. of_probabilities: it scores probabilities, which then are the predictions that records of the task
    hold: of label 1 where there are two classes, else one of each label.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    kinds: ClassVar[Sequence[Kind]]
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (0, 1)
    binary: ClassVar[bool] = False
    companions: ClassVar[Sequence[str]] = ()
    of_probabilities: ClassVar[bool] = False

    def compute(self, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str]) -> float:
        """The score of one split; NaN where it is undefined.

        predictions and references hold for each example what records hold: a class index; a number; a list of the
        indices of the labels that hold; or a list of label indices, one for each word, -1 where a word was cut off and
        so has no answer. labels: the task's, empty for a regression.
        """
        raise NotImplementedError

    def sums(
        self, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str]
    ) -> tuple[Floats, Score] | None:
        """Summands of each example, [examples, k], and the score, [...], of sums of them, [..., k].

        None: the score is no such function. This is the cheap way to the score without each example.
        """
        return None

    def leave_one_out(
        self, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str]
    ) -> tuple[float, Floats] | None:
        """The score of all examples, and that without each of them, [examples]; NaN where one is undefined.

        None: it is not known, and methods are compared by seed alone. By default from `sums`, else from `compute`,
        called without each example, for at most MOST_BY_BRUTE_FORCE of them.
        """
        import numpy as np

        from bench.stats.per_example import without_each

        if (found := self.sums(predictions, references, labels)) is not None:
            return without_each(*found)
        count = len(references)
        if count > MOST_BY_BRUTE_FORCE:
            return None
        others = [[at for at in range(count) if at != left_out] for left_out in range(count)]
        scores = [
            self.compute([predictions[at] for at in each], [references[at] for at in each], labels) for each in others
        ]
        return self.compute(predictions, references, labels), np.array(scores, dtype=float)

    def refuses(self, labels: Sequence[str]) -> str | None:
        """Why a task with these labels cannot be scored, without a full stop; None: it can."""
        return None

    def shares(
        self, predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str] | None
    ) -> Floats | None:
        """The share of each example in the score, [examples], see `bench.stats.per_example`. None: undefined.

        Undefined: fewer than two examples, a score that is undefined with or without any one of them, unknown labels,
        values that do not fit the metric (a record may come from anywhere), or too many examples.
        """
        from bench.stats.per_example import TooLarge, pseudo_values

        names = labels or ()
        if len(references) < 2 or len(predictions) != len(references):
            return None
        if self.of_probabilities and not _are_probabilities(predictions, references, names):
            return None
        values = references if self.of_probabilities else [*predictions, *references]
        if not any(_are_valid(kind, values, names) for kind in self.kinds):
            return None
        if set(self.kinds) == {"token-classification"} and [*map(len, predictions)] != [*map(len, references)]:
            return None
        try:
            found = self.leave_one_out(predictions, references, names)
        except TooLarge:
            return None
        return None if found is None else pseudo_values(*found)


def scores_task(metric: type[Metric], kind: Kind, labels: int) -> bool:
    """Whether a metric scores tasks of this kind with so many labels."""
    return kind in metric.kinds and (labels == 2 or not metric.binary)


def score(
    metrics: Sequence[Metric], predictions: Sequence[Any], references: Sequence[Any], labels: Sequence[str]
) -> dict[str, float | None]:
    """Each metric over one split, by name; None where it is undefined, as is the correlation of a constant.

    predictions: probabilities, if the first metric is of these.
    """
    if len(predictions) != len(references) or not references:
        raise ValueError(f"{len(predictions)} predictions do not match {len(references)} references")
    found, answers = {}, predictions
    if metrics[0].of_probabilities:
        answers = [_answer(row, isinstance(truth, list)) for row, truth in zip(predictions, references, strict=True)]
    for each in metrics:
        given = predictions if each.of_probabilities else answers
        numbers = "float64" if float in {*map(type, given), *map(type, references)} else None
        forms = [numbers or _form(values) for values in (given, references)]
        computed = _evaluate_metric(cast(Hashable, type(each)), *forms)
        result = computed.compute(predictions=given, references=references, labels=labels)
        found[each.name] = float(result[each.name]) if math.isfinite(result[each.name]) else None
    return found


def constant_answer(metric: Metric, kind: Kind, train: Sequence[Any], labels: Sequence[str]) -> Any:
    """The answer to every example (to every word, for token classification) that scores best on the training split.

    Of a regression the mean or the median; of several labels those that hold most often, however many, or the most
    frequent combination; of two classes either; of more the most frequent. Of probabilities, how often labels hold.
    """
    if metric.of_probabilities:
        held = probabilities_of(kind, train, labels)
        if isinstance(held[0], float):
            return statistics.fmean(held)
        return list(map(statistics.fmean, zip(*held, strict=True)))
    candidates = _candidates(kind, train, labels)
    if len(candidates) == 1:
        return candidates[0]
    sign = 1 if metric.higher_is_better else -1
    scores = [sign * metric.compute([each] * len(train), train, labels) for each in candidates]
    return candidates[max(range(len(scores)), key=lambda at: -math.inf if math.isnan(scores[at]) else scores[at])]


def _candidates(kind: Kind, train: Sequence[Any], labels: Sequence[str]) -> list[Any]:
    if kind == "regression":
        return [statistics.fmean(train), statistics.median(train)]
    if kind == "classification":
        frequent = [label for label, _ in Counter(train).most_common()]
        return frequent[: 2 if len(labels) == 2 else 1]
    frequent = [label for label, _ in Counter(index for row in train for index in row).most_common()]
    if kind == "token-classification":
        return frequent[:1]
    combination = Counter(map(tuple, train)).most_common(1)[0][0]
    return [list(combination), *(sorted(frequent[:count]) for count in range(len(frequent) + 1))]


def answers_alike(kind: Kind, answer: Any, references: Sequence[Any]) -> list[Any]:
    """This answer to each example; for token classification, to each word."""
    return [[answer] * len(row) for row in references] if kind == "token-classification" else [answer] * len(references)


def probabilities_of(kind: Kind, references: Sequence[Any], labels: Sequence[str]) -> list[Any]:
    """Right answers as probabilities of 0 and 1, in the form that metrics of probabilities score."""
    if kind == "classification" and len(labels) == 2:
        return [float(label) for label in references]
    rows = [label if isinstance(label, list) else [label] for label in references]
    return [[float(at in row) for at in range(len(labels))] for row in rows]


def _answer(probability: Any, several: bool) -> Any:
    """The class, or the labels, that a prediction of probabilities stands for."""
    if not isinstance(probability, list):
        return int(probability > 0.5)
    if several:
        return [at for at, each in enumerate(probability) if each > 0.5]
    return max(range(len(probability)), key=probability.__getitem__)


def _form(values: Sequence[Any]) -> str:
    if not any(isinstance(each, list) for each in values):
        return "int64"
    return "rows of float64" if any(isinstance(each, float) for row in values for each in row) else "rows of int64"


@cache
def _evaluate_metric(metric_class: Hashable, of_predictions: str, of_references: str) -> Any:
    """As an `evaluate.Metric`, built in process: `evaluate.load` would fetch a script from a hub."""
    import datasets
    import evaluate

    metric = cast(type[Metric], metric_class)

    def feature(form: str) -> Any:
        value = datasets.Value(form.removeprefix("rows of "))
        return datasets.Sequence(value) if form.startswith("rows") else value

    class InProcess(evaluate.Metric):
        def _info(self) -> Any:
            features = datasets.Features({"predictions": feature(of_predictions), "references": feature(of_references)})
            return evaluate.MetricInfo(description=metric.summary, citation="", features=features)

        def _compute(self, predictions: Any, references: Any, labels: Sequence[str]) -> dict[str, float]:
            return {metric.name: metric().compute(predictions, references, labels)}

    return InProcess(config_name=metric.name, keep_in_memory=True)


def _are_valid(kind: Kind, values: Sequence[Any], labels: Sequence[str]) -> bool:
    """Whether a metric can score these: indices of labels, numbers, or rows of indices."""
    if kind == "regression":
        return _all_of(values, int, float) and min(values) >= -LARGEST and max(values) <= LARGEST
    if kind == "classification":
        return _all_of(values, int) and min(values) >= -LARGEST and max(values) <= LARGEST
    if not labels or not all(labels) or not _all_of(values, list):
        return False
    indices = [index for row in values for index in row]
    lowest = -1 if kind == "token-classification" else 0
    return _all_of(indices, int) and all(lowest <= index < len(labels) for index in set(indices))


def _are_probabilities(values: Sequence[Any], references: Sequence[Any], labels: Sequence[str]) -> bool:
    """Whether these are numbers, for class indices, or rows of one number a label; all finite."""
    rows = _all_of(values, list)
    in_range = all(0 <= each < len(labels) for each in references if type(each) is int)
    if rows and not (in_range and {*map(len, values)} == {len(labels)}):
        return False
    numbers = [each for row in values for each in row] if rows else values
    fits = rows or _all_of(references, int)
    return fits and _all_of(numbers, int, float) and all(abs(each) <= LARGEST for each in numbers)


def _all_of(values: Sequence[Any], *kinds: type) -> bool:
    """Whether all are of exactly these types: True is not a label's index, although it is an int to Python."""
    return set(map(type, values)) <= set(kinds)
