"""The floor is reached: `head` on the default model against scikit-learn's linear model on the same features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bench import profiles
from bench.errors import SourceError
from bench.grid import models, seeds
from bench.grid.recipes import RecipeStore, length_scale, resolve_recipe
from bench.grid.suites import load
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.sources.resolve import resolve
from bench.train.adaptation import Adapted, adapt
from bench.train.batches import sorted_batches
from bench.train.data import Encoded, prepare
from bench.train.loop import train
from bench.train.model import load_config, load_model

TASK, PROFILE = "rt-polarity", profiles.load("cpu")


@pytest.fixture(scope="module")
def minilm() -> Path:
    try:
        return resolve(models.find("minilm-l6").source).path
    except SourceError as error:
        pytest.skip(f"the default model is unavailable: {error}")


def features(module: torch.nn.Module, data: Encoded, mean: bool) -> np.ndarray:
    """What the head reads of each text, worked out here."""
    found = np.zeros((len(data), 384), np.float32)
    with torch.inference_mode():
        for indices in sorted_batches(data.lengths, 64):
            inputs = data.batch(indices).inputs
            output = module.eval()(**inputs)
            mask = inputs["attention_mask"].unsqueeze(-1)
            pooled = (output.last_hidden_state * mask).sum(1) / mask.sum(1)
            found[indices] = pooled if mean else output.pooler_output
    return found


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["head", "head[pooling=mean]"])
def test_the_head_is_as_good_as_a_linear_model_and_half_as_long_is_enough(
    minilm: Path, embedded: Callable[[str], Path], spec: str
) -> None:
    suite, plugin = load("standard"), registry.tasks().get(TASK).plugin
    budget = suite.budget.model_copy(update={"train_examples": 1000, "validation_examples": 0})
    method = build_method(registry.methods(), parse(spec))
    data = prepare(plugin, embedded(plugin.source), minilm, budget)  # type: ignore[arg-type]
    backbone = load_model(minilm, "classification", 2).base_model
    inputs = {name: features(backbone, data.splits[name], "mean" in spec) for name in ("train", "test")}
    labels = {name: np.array(data.splits[name].references) for name in inputs}
    linear = LogisticRegression(max_iter=5000).fit(inputs["train"], labels["train"])
    expected = linear.score(inputs["test"], labels["test"])

    scale = length_scale(method, budget.model_copy(update={"epochs_scale": 0.1}))
    overrides = RecipeStore().overrides(method, TASK, suite)
    recipe = resolve_recipe(method.recipe(data.context, load_config(minilm)), overrides, "a", scale, "cpu").recipe
    scores = []
    for steps in (recipe.min_steps, recipe.min_steps // 2):
        model = load_model(minilm, "classification", 2, recipe.dropout)
        made: Adapted = adapt(model, method, data.context, seeds.streams(0))
        train(made, data.splits["train"], recipe.model_copy(update={"min_steps": steps}), PROFILE, 5)
        with torch.inference_mode():
            predicted = model.classifier(torch.from_numpy(inputs["test"])).argmax(1).numpy()
        scores.append(float(np.mean(predicted == labels["test"])))
    # A paired difference on 1,000 examples has a standard error of about 0.01.
    assert scores[0] > expected - 0.02
    assert abs(scores[1] - scores[0]) <= 0.02
