"""A grid before it is run: a row for each method and task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.forecast import fitting
from bench.forecast.counting import Count, Frame, counts
from bench.forecast.fitting import Memory
from bench.forecast.seconds import Rate, Source
from bench.forecast.shapes import Lengths, lengths
from bench.forecast.steps import Shape, Step, predict
from bench.grid.cell import Cell
from bench.grid.recipes import RecipeStore, ResolvedRecipe, resolve_recipe
from bench.grid.suites import Suite
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.task import Task, TaskContext
from bench.profiles import Profile
from bench.train.loop import total_steps
from bench.train.placement import Placement

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bench.forecast.estimate import Estimator


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
            "batch_tokens_from": self.lengths.of,
            "train_step_flops": step and step.flops,
            "predicted_model_mib": step and fitting.model_mib(step),
            "predicted_tensor_growth_mib": step and step.growth_bytes / fitting.MIB,
            "predicted_train_growth_mib": step and fitting.growth_mib(step, profile),
            "predicted_peak_train_memory_mib": step and fitting.peak_mib(step, profile),
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

    Steps of one shape on tasks of one kind and one number of labels are gone through once.
    """
    by_name = {task.name: task for task in tasks}

    @cache  # reads the data and tokenises some of them
    def lengths_of(task: str) -> Lengths:
        return lengths(by_name[task], setting.suite.budget, setting.tokenizer, setting.mirror)

    @cache
    def gone_through(method: Method, context: TaskContext, recipe: str, shape: Shape) -> Step | str:
        placement = Placement.of(setting.profile)
        try:
            resolved = Recipe.model_validate_json(recipe)
            return predict(setting.frame.config, method, context, resolved, placement, shape)
        except BenchError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a plugin that reads its tensors' values can be run, not planned
            return f"its memory cannot be told without running it ({type(error).__name__})"

    def one(count: Count, task: Task) -> Forecast:
        at = lengths_of(task.name)
        if count.parameters is None:
            return Forecast(count, at, reason=count.reason)
        template = setting.frame.pair if task.pair else setting.frame.single
        pad = int(setting.frame.config.pad_token_id or 0)
        context = TaskContext("plan", task.kind, task.pair, task.num_labels, template, pad)
        suite = setting.suite
        own = count.method.recipe(context, setting.frame.config)
        changed = setting.recipes.overrides(count.method, task.name, suite)
        resolved = resolve_recipe(own, changed, suite.name, suite.budget, setting.profile.device)
        recipe = resolved.recipe
        shape = Shape(recipe.batch_size if at.train is None else min(recipe.batch_size, at.train), at.longest)
        step = gone_through(count.method, context, recipe.model_dump_json(), shape)
        steps = None if at.train is None else total_steps(at.train, recipe)
        if isinstance(step, str):
            return Forecast(count, at, resolved, shape, train_steps=steps, reason=step)
        seconds, source = _seconds(setting, estimator, count, task, at, shape, step, steps)
        unfit = fitting.unfit(step, setting.profile, setting.memory)
        return Forecast(count, at, resolved, shape, step, steps, seconds, source, unfit)

    return [one(count, by_name[count.task.name]) for count in counts(setting.frame, tasks, methods)]


def _seconds(
    setting: Setting,
    estimator: Estimator,
    count: Count,
    task: Task,
    at: Lengths,
    shape: Shape,
    step: Step,
    steps: int | None,
) -> tuple[float | None, Source | None]:
    seen = estimator.guess_like(
        setting.profile.name, setting.suite.name, setting.model, count.method.name, count.variant, task.name
    )
    if seen is not None:
        return seen, "records"
    if setting.rate is None or steps is None:
        return None, None
    # FLOPs go with the tokens, nearly: attention's share, which goes with their square, is small at these lengths.
    share = 1.0 if at.mean is None else at.mean / at.longest
    batches = math.ceil((at.test or 0) / shape.batch)
    return share * (steps * step.flops + batches * step.eval_flops) / setting.rate.flops, setting.rate.source


def unfit(forecasts: Iterable[Forecast], cells: Iterable[Cell]) -> Mapping[str, str]:
    """Why each of the cells that will not fit does not, by the cell's id."""
    reasons = {
        (each.count.method.name, each.count.variant, each.count.task.name): each.unfit
        for each in forecasts
        if each.unfit is not None
    }
    found = {cell.id: reasons.get((cell.method, cell.variant, cell.task)) for cell in cells}
    return {key: reason for key, reason in found.items() if reason is not None}
