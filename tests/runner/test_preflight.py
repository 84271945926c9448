"""What is refused before anything is fetched or trained."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from commandline import Bench
from transformers import AutoConfig

from bench.errors import UsageError
from bench.forecast.parameters import count, frame
from bench.grid import models
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.runner import preflight
from bench.runner.options import Options
from bench.runner.request import Request
from bench.sources.resolve import resolve

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
            "the metric 'f1' does not score 3 labels; these do: accuracy, auroc, balanced_accuracy, "
            "f1_macro, f1_micro, f1_weighted, matthews.",
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


@pytest.mark.parametrize("command", ["run", "plan", "tune"])
def test_a_parameter_that_no_task_can_have_is_refused(command: str, bench: Bench, tiny: Any, tmp_path: Path) -> None:
    at = ("--model", tiny.path, "--tasks", "us-address", "--results", tmp_path / "out")
    done = bench(command, "--methods", "pasta[layers=99],lora", *at)
    assert done.code == 2
    assert done.err.endswith("Error: pasta[layers=99] cannot be used here: layers=99: this model has 3 layers, "
                             "counted from 0.\n")  # fmt: skip


def test_what_one_task_can_have_or_no_parameter_makes_possible_is_not_refused(tiny: Any) -> None:
    known, asked = registry.tasks(), Request.of(Options("head"))
    texts, words = known.get("sms-spam").plugin(), known.get("us-address").plugin()
    of_model = frame(models.find(str(tiny.path)), resolve)
    pooled = build_method(registry.methods(), parse("head[pooling=mean]"))
    preflight.check_parameters(of_model, [pooled], [texts, words], asked)
    of_suite = Request.of(Options(suite="standard"))  # which names it, not the user
    preflight.check_parameters(of_model, [pooled], [words], of_suite)
    with pytest.raises(UsageError, match=r"head\[pooling=mean\] cannot be used here: .* is for whole texts"):
        preflight.check_parameters(of_model, [pooled], [words], asked)
    unknown = of_model._replace(config=AutoConfig.for_model("funnel", num_labels=2))
    shared = build_method(registry.methods(), parse("pasta[share_layers=true]"))
    assert count(unknown, shared, unknown.context(texts)).parameters is None
    preflight.check_parameters(unknown, [shared], [texts], asked)


@pytest.mark.parametrize(("task", "refused"), [("rt-intensity", True), ("sms-spam", False), ("us-address", False)])
def test_class_weights_are_for_tasks_that_have_classes(task: str, refused: bool, tmp_path: Path) -> None:
    suite = tmp_path / "balanced.toml"
    suite.write_text(
        f'name = "balanced"\nsummary = "x"\nmethods = ["lora"]\ntasks = ["{task}"]\nseeds = [0]\n'
        'model = "minilm-l6"\n[budget]\n[recipes."*"]\nclass_weights = "balanced"\n'
    )
    request = Request.of(Options(suite=suite))
    with pytest.raises(UsageError, match="regression has no classes to weigh") if refused else nullcontext():
        preflight.check([request], registry.methods(), registry.tasks())
