"""A grid before it is run: what each method takes on each task, for the largest batch.

Nothing is downloaded. The largest batch is that of the longest texts, where the data are here already; else the task's
limit is an upper bound. Batches hold texts of like length, so the longest text bounds the longest batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.errors import BenchError
from bench.forecast import memory
from bench.forecast.memory import Memory
from bench.forecast.parameters import Count, Frame, counts
from bench.forecast.seconds import Estimator, Like, Rate, Source
from bench.forecast.step import Shape, Step, predict
from bench.grid.recipes import RecipeStore, ResolvedRecipe, resolve_recipe
from bench.grid.suites import Budget, Suite
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.task import Example, Task, TaskContext
from bench.profiles import Profile
from bench.sources.resolve import local
from bench.train.data import examples_of, read, tokenise
from bench.train.loop import total_steps
from bench.train.placement import Placement

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONGEST = 1000  # texts with the most characters that are tokenised to find the longest, and as many others for the mean


@dataclass(frozen=True)
class Lengths:
    """Tokens of a task's training examples.

    longest: of one example, or the task's limit. mean: None where the data are not here. train, test: examples that
    the budget takes; None if unknown. source: where `longest` comes from.
    """

    longest: int
    mean: float | None
    train: int | None
    test: int | None
    source: Literal["data", "max_length"]


@dataclass(frozen=True)
class Setting:
    """What a grid is planned for.

    tokenizer: None where it is not here. recipes: the tuned ones. memory: what a worker may use. rate: of its
    products, where it is known.
    """

    model: str
    frame: Frame
    tokenizer: PreTrainedTokenizerBase | None
    suite: Suite
    recipes: RecipeStore
    profile: Profile
    memory: Memory
    rate: Rate | None
    mirror: Path | None


@dataclass(frozen=True)
class Forecast:
    """What a method on a task will take.

    count: of parameters. lengths, shape and step: of the largest batch. recipe, shape and step: None where the method
    does not apply; step also where it could not be traced, for the reason given. seconds: of one cell; None: unknown.
    """

    count: Count
    lengths: Lengths
    recipe: ResolvedRecipe | None = None
    shape: Shape | None = None
    step: Step | None = None
    train_steps: int | None = None
    seconds: float | None = None
    seconds_from: Source | None = None
    unfit: str | None = None
    reason: str | None = None

    def row(self, setting: Setting, seeds: int) -> dict[str, Any]:
        """Under the leaderboard's column names where it has them; units in the names."""
        step, shape, profile = self.step, self.shape, setting.profile
        return {
            **self.count.row(setting.model),
            "reason": self.reason or self.unfit,
            "profile": profile.name,
            "preset": setting.suite.name,
            "n_seeds": seeds,
            "batch_examples": shape and shape.batch,
            "batch_tokens": shape and shape.tokens,
            "batch_tokens_from": self.lengths.source,
            "train_step_flops": step and step.flops,
            "predicted_model_mib": step and step.model_bytes / memory.MIB,
            "predicted_tensor_growth_mib": step and step.growth_bytes / memory.MIB,
            "predicted_train_growth_mib": step and memory.growth_mib(step, profile),
            "predicted_peak_train_memory_mib": step and memory.peak_mib(step, profile),
            "available_memory_mib": setting.memory.mib,
            "available_memory_of": setting.memory.of,
            "fits": step and self.unfit is None,
            "predicted_adapter_bytes": step and step.adapter_bytes,
            "train_steps": self.train_steps,
            "predicted_seconds": self.seconds,
            "predicted_seconds_from": self.seconds_from,
            "recipe": self.recipe and self.recipe.recipe.model_dump(mode="json"),
            "recipe_sources": self.recipe and self.recipe.sources,
        }


def forecast(
    setting: Setting, tasks: Sequence[Task], methods: Iterable[tuple[Method, str]], estimator: Estimator
) -> list[Forecast]:
    """What each method, with its variant's label, will take on each task.

    Steps of one shape on tasks of one kind and one number of labels are traced once.
    """
    by_name = {task.name: task for task in tasks}

    @cache  # reads the data and tokenises some of them
    def lengths_of(task: str) -> Lengths:
        return lengths(by_name[task], setting.suite.budget, setting.tokenizer, setting.mirror)

    @cache
    def traced(method: Method, context: TaskContext, recipe: str, shape: Shape) -> Step | str:
        try:
            resolved = Recipe.model_validate_json(recipe)
            return predict(setting.frame.config, method, context, resolved, Placement.of(setting.profile), shape)
        except BenchError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a plugin that reads its tensors' values can be run, not planned
            return f"its memory cannot be predicted without running it ({type(error).__name__})"

    def one(count: Count) -> Forecast:
        task, at = count.task, lengths_of(count.task.name)
        if count.parameters is None:
            return Forecast(count, at, reason=count.reason)
        context, suite = setting.frame.context(task.kind, task.pair, task.num_labels), setting.suite
        own = count.method.recipe(context, setting.frame.config)
        changed = setting.recipes.overrides(count.method, task.name, suite)
        resolved = resolve_recipe(own, changed, suite.name, suite.budget, setting.profile.device)
        recipe = resolved.recipe
        shape = Shape(recipe.batch_size if at.train is None else min(recipe.batch_size, at.train), at.longest)
        steps = None if at.train is None else total_steps(at.train, recipe)
        step = traced(count.method, context, recipe.model_dump_json(), shape)
        if isinstance(step, str):
            return Forecast(count, at, resolved, shape, train_steps=steps, reason=step)
        unfit = memory.unfit(step, setting.profile, setting.memory)
        found = Forecast(count, at, resolved, shape, step, steps, unfit=unfit)
        seconds, source = _seconds(setting, estimator, found)
        return replace(found, seconds=seconds, seconds_from=source)

    return [one(count) for count in counts(setting.frame, tasks, methods)]


def lengths(task: Task, budget: Budget, tokenizer: PreTrainedTokenizerBase | None, mirror: Path | None) -> Lengths:
    """The lengths of a task's examples under a budget. tokenizer: None where it is not here."""
    scored = budget.limit(budget.source("test") or "test")
    unknown = Lengths(task.max_length, None, budget.train_examples, scored, "max_length")
    found = local(task.source, mirror) if tokenizer is not None else None
    if tokenizer is None or found is None:
        return unknown
    try:
        splits = read(task, found.path)
    except BenchError:  # a run says what is wrong; a forecast does without
        return unknown
    train, test = (examples_of(name, splits, budget) for name in ("train", "test"))
    some = train[:LONGEST]  # splits are shuffled, so the first are a sample
    most = sorted(train, key=_characters, reverse=True)[:LONGEST]
    each = [len(ids) for ids in tokenise(task, some, tokenizer)["input_ids"]]
    longest = max(len(ids) for ids in tokenise(task, most, tokenizer)["input_ids"])
    return Lengths(max(longest, *each), sum(each) / len(each), len(train), len(test), "data")


def _seconds(setting: Setting, estimator: Estimator, of: Forecast) -> tuple[float | None, Source | None]:
    count, at = of.count, of.lengths
    like = Like(
        setting.profile.name, setting.suite.name, setting.model, count.method.name, count.variant, count.task.name
    )
    seen = estimator.guess(like)
    if seen is not None:
        return seen, "records"
    if setting.rate is None or of.train_steps is None or of.step is None or of.shape is None:
        return None, None
    # FLOPs grow with the tokens, nearly: attention's share, which grows with their square, is small at these lengths.
    share = 1.0 if at.mean is None else at.mean / at.longest
    batches = math.ceil((at.test or 0) / of.shape.batch)
    flops = of.train_steps * of.step.flops + batches * of.step.eval_flops
    return share * flops / setting.rate.flops, setting.rate.source


def _characters(example: Example) -> int:
    text = example.text if isinstance(example.text, str) else " ".join(example.text)
    return len(text) + len(example.pair or "")
