"""Built-in metrics by name, for tests of what is done with scores."""

from collections.abc import Sequence
from typing import Any

from bench.plugins import metric, registry
from bench.plugins.metric import Metric

METRICS = {name: found.plugin for name, found in registry.metrics().built_in().items()}


def metrics_for(name: str, labels: Sequence[str], of_kind: str | None = None) -> list[Metric]:
    """A metric and its companions, for a task of this kind, or of its first one."""

    class Scored:
        metric, kind = name, of_kind or METRICS[name].kinds[0]

    Scored.labels = labels  # type: ignore[attr-defined]
    return [found.plugin() for found in registry.metrics_of(Scored, registry.metrics())]  # type: ignore[arg-type]


def score(
    name: str, predictions: Any, references: Any, labels: Sequence[str], kind: str | None = None
) -> dict[str, float | None]:
    return metric.score(metrics_for(name, labels, kind), list(predictions), list(references), labels)


def constant_score(
    name: str, train: list[Any], references: list[Any], labels: Sequence[str], of_kind: Any = None
) -> float | None:
    kind = of_kind or METRICS[name].kinds[0]
    answers = metric.answers_alike(kind, metric.constant_answer(METRICS[name](), kind, train, labels), references)
    return score(name, answers, references, labels, kind)[name]


def shares(name: str, predictions: Any, references: Any, labels: Sequence[str] | None) -> Any:
    return METRICS[name]().shares(predictions, references, labels)
