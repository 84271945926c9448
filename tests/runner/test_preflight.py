"""What is refused before anything is fetched or trained."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from commandline import Bench

from bench.errors import UsageError
from bench.plugins import registry
from bench.runner import preflight
from bench.runner.options import Options
from bench.runner.request import Request

TASK = """
from bench.plugins.task import Task

class Mine(Task):
    name, source = "mine", "./nowhere"
    kind, metric, labels = {kind!r}, {metric!r}, {labels!r}

    def read(self, path):
        raise AssertionError
"""


@pytest.mark.parametrize("command", ["run", "plan", "tune"])
@pytest.mark.parametrize(
    ("kind", "metric", "labels", "reason"),
    [
        (
            "classification",
            "f1",
            "abc",
            "the metric 'f1' does not score 3 labels; these do: accuracy, balanced_accuracy, f1_macro, ",
        ),
        ("regression", "luck", "", "There is no metric 'luck'. There are: accuracy, "),
        (
            "regression",
            "accuracy",
            "",
            "the metric 'accuracy' does not score regression; these do: mae, mse, ",
        ),
        ("token-classification", "entity_f1", ("NOUN", "VERB"), "the label 'NOUN' is none of O, B-..., I-..."),
        ("token-classification", "entity_f1", ("O", "B-LOC", "I-LOC", "U-LOC"), "the label 'U-LOC' is none of O, B-"),
    ],
)
def test_a_task_that_cannot_be_scored_is_refused_in_one_sentence(
    command: str, kind: str, metric: str, labels: tuple[str, ...], reason: str, bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(TASK.format(kind=kind, metric=metric, labels=tuple(labels)))
    done = bench(command, "--plugin", file, "--tasks", "mine", "--methods", "lora", "--results", tmp_path / "out")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"Error: The task 'mine' cannot be run: {reason}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("tasks", "refused"), [("us-address", True), ("us-address,sms-spam", False)])
def test_a_pooling_that_no_task_takes_is_refused(tasks: str, refused: bool) -> None:
    request = Request.of(Options("head", tasks, pooling="mean"))
    with pytest.raises(UsageError, match="has no effect here") if refused else nullcontext():
        preflight.check([request], registry.methods(), registry.tasks())


def test_the_pooling_of_a_suite_is_for_those_tasks_that_take_one() -> None:
    request = Request.of(Options("head", "us-address"))
    assert request.suite.pooling == "mean"
    preflight.check([request], registry.methods(), registry.tasks())
