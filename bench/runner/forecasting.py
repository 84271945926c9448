"""What a grid would train and take, before it runs: a row for each method and task, for the largest batch.

Nothing is fetched but the model's configuration and tokenizer, if they are not shipped.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from bench import profiles
from bench.errors import BenchError
from bench.forecast import memory
from bench.forecast.lengths import Batches, Lengths, Shape, batches, lengths
from bench.forecast.memory import Memory
from bench.forecast.parameters import Count, Frame, count, frame
from bench.forecast.seconds import Estimator, Like, Rate, Source, estimate, rate
from bench.forecast.step import Step, predict
from bench.grid import models, seeds
from bench.grid.recipes import ResolvedRecipe, length_scale, resolve_recipe
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe
from bench.plugins.specs import build_method, changed_params
from bench.plugins.task import Splits, Task, TaskContext
from bench.profiles import Profile
from bench.profiles.probe import probe
from bench.records.record import new_record
from bench.records.store import Store
from bench.runner import preflight
from bench.runner.plan import Plan
from bench.runner.request import Request
from bench.sources.references import PathRef, parse
from bench.sources.resolve import local, resolve
from bench.train import fit
from bench.train.data import read
from bench.train.loop import total_steps
from bench.train.model import quiet_libraries


@dataclass(frozen=True)
class Setting:
    """What a request is planned for.

    files: None where they are not here. memory: of one worker. rate: of its matrix products, if known. notes: what the
    user should know: which commit of the hub the model is, and of the data, as far as they are here.
    """

    request: Request
    model: str
    frame: Frame
    files: fit.Model | None
    profile: Profile
    memory: Memory
    rate: Rate | None
    notes: Sequence[str] = ()

    @classmethod
    def of(cls, request: Request, special_tokens: int | None = None) -> Setting:
        """special_tokens: to assume per input; None: as the tokenizer adds them."""
        model, machine = models.find(request.model), probe()
        # A profile of another machine is allowed: nothing runs.
        profile = profiles.choose(machine)[0] if request.profile == profiles.AUTO else profiles.load(request.profile)
        if request.options.workers is not None:
            profile = profile.with_workers(request.options.workers)
        quiet_libraries()
        find = partial(resolve, mirror=request.mirror, weights=False)
        shape = frame(model, find)
        here = find(model.source) if model.shape is None else local(model.source, request.mirror)
        return cls(
            request,
            models.resolved(model, here.revision).name if here else model.name,
            shape if special_tokens is None else shape.with_special_tokens(special_tokens),
            fit.Model.of(here.path, weights=_has_weights(model, here.path)) if here else None,
            profile,
            memory.available(profile, machine),
            rate(profile, machine),
            [here.note] if here and here.note else [],
        )


def _has_weights(model: models.Model, folder: Path) -> bool:
    """Whether the weights of a folder of the user's own can be looked at; a plan needs none."""
    suffixes = {file.suffix for file in folder.iterdir()} if isinstance(parse(model.source), PathRef) else set()
    return bool(suffixes & {".safetensors", ".bin"})


@dataclass(frozen=True)
class Forecast:
    """What a method on a task will take.

    step: of the costliest parts of batches. peak_bytes: the most that is alive in a training. recipe, batches, step and
    peak_bytes: None where the method does not apply; step and peak_bytes also where it could not be traced, for the
    reason given. seconds: of one cell; None: unknown.
    """

    method: Method
    task: Task
    special_tokens: int
    count: Count
    lengths: Lengths
    recipe: ResolvedRecipe | None = None
    batches: Batches | None = None
    step: Step | None = None
    peak_bytes: int | None = None
    train_steps: int | None = None
    seconds: float | None = None
    seconds_from: Source | None = None
    unfit: str | None = None
    reason: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        return self.method.name, changed_params(self.method.params), self.task.name

    def row(self, setting: Setting) -> dict[str, Any]:
        """Under the leaderboard's column names where it has them; units in the names."""
        step, batch, profile, found = self.step, self.batches, setting.profile, self.count.parameters
        peak_mib, model_mib = (size and size / memory.MIB for size in (self.peak_bytes, step and step.model_bytes))
        (name, variant, task), cut = self.key, self.lengths.truncation
        return {
            "task": task,
            "method": name,
            "method_params": variant,
            "model": setting.model,
            "special_tokens": self.special_tokens,
            "method_params_count": found and found.method,
            "trainable_params": found and found.trainable,
            "trainable_share_percent": found and found.share_percent,
            "head_params": found and found.head,
            "trainable_share_with_head_percent": found and found.share_with_head_percent,
            "model_params": found and found.base,
            "formula": self.count.formula,
            "status": "ok" if found else "skipped",
            "reason": self.reason or self.unfit,
            "profile": profile.name,
            "preset": setting.request.suite.name,
            "pooling": setting.request.suite.pooling_on(self.task.kind),
            "n_seeds": len(setting.request.seeds),
            "batch_examples": batch and batch.examples,
            "batch_tokens": batch and batch.largest,
            "batch_tokens_from": self.lengths.source,
            "train_step_flops": step and batch and round(step.flops / step.tokens * batch.largest),
            "predicted_model_mib": model_mib,
            "predicted_train_growth_mib": peak_mib and model_mib and peak_mib - model_mib,
            "predicted_peak_train_memory_mib": peak_mib,
            "available_memory_mib": setting.memory.mib,
            "available_memory_of": setting.memory.of,
            "fits": (self.unfit is None) if step and setting.memory.mib else None,
            "predicted_adapter_bytes": step and step.adapter_bytes,
            "train_steps": self.train_steps,
            "predicted_seconds": self.seconds,
            "predicted_seconds_from": self.seconds_from,
            "recipe": self.recipe and self.recipe.recipe.model_dump(mode="json"),
            "recipe_sources": self.recipe and self.recipe.sources,
            "max_length": self.lengths.limit,
            "cut_examples_percent": cut and cut.examples * 100,
            "cut_content_percent": cut and cut.content * 100,
        }


def forecast(request: Request, special_tokens: int | None = None) -> tuple[Setting, list[Forecast]]:
    """What each of the request's methods will take on each of its tasks.

    Raises:
        BenchError: for wrong names, parameters and profiles, and a model whose configuration is unavailable.
    """
    with contextlib.redirect_stdout(sys.stderr):  # plugins may print, and standard output is the command's
        found, known = registry.methods(request.plugins), registry.tasks(request.plugins)
        methods = [build_method(found, spec) for spec in request.methods]
        preflight.check([request], found, known)
        tasks = [known.get(name).plugin() for name in request.tasks]
        setting = Setting.of(request, special_tokens)
        preflight.check_parameters(setting.frame, methods, tasks, request)

        @cache
        def read_if_here(task: Task) -> Splits | None:
            # Without the data it is not known how many outputs the head has.
            here = (resolve if task.labels_in_data else local)(task.source, mirror=request.mirror)
            return read(task, here.path) if here else None

        checked = [preflight.Checked(known.get(t.name), t, partial(read_if_here, t), methods) for t in tasks]
        metrics = registry.metrics(request.plugins)
        notes = preflight.check_files(setting.files, checked, metrics, request.suite.budget)
        setting = replace(setting, notes=[*setting.notes, *notes])
        at = {task.name: lengths(task, request.suite.budget, setting.files, read_if_here(task)) for task in tasks}
        return setting, _forecasts(setting, methods, tasks, at)


def _forecasts(setting: Setting, methods: list[Method], tasks: list[Task], at: dict[str, Lengths]) -> list[Forecast]:
    """What tasks of one kind and one number of labels have in common is counted and traced once."""
    request, config = setting.request, setting.frame.config
    suite, estimator = request.suite, Estimator(Store(request.results).all()[0])

    @cache
    def counted(method: Method, context: TaskContext) -> Count:
        return count(setting.frame, method, context)

    @cache
    def traced(
        method: Method, context: TaskContext, recipe: str, parts: tuple[Shape, ...], longest: Shape
    ) -> Step | str:
        try:
            resolved = Recipe.model_validate_json(recipe)
            return predict(config, method, context, resolved, setting.profile, parts, longest)
        except BenchError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a plugin that reads its tensors' values can be run, not planned
            return f"its memory cannot be predicted without running it ({type(error).__name__})"

    def one(method: Method, task: Task, at: Lengths) -> Forecast:
        context = setting.frame.context(task, suite.pooling_on(task.kind))
        found = Forecast(method, task, len(context.template), counted(method, context), at)
        if found.count.parameters is None:
            return replace(found, reason=found.count.reason)
        overrides = request.recipes.overrides(method, task.name, suite)
        own = method.recipe(context, config)
        scale = length_scale(method, suite.budget)
        resolved = resolve_recipe(own, overrides, suite.name, scale, setting.profile.device)
        recipe = resolved.recipe
        drawn = batches(at, recipe, setting.profile, data_order)
        steps = None if at.train is None else total_steps(at.train, recipe)
        found = replace(found, recipe=resolved, batches=drawn, train_steps=steps)
        step = traced(method, context, recipe.model_dump_json(), drawn.parts, drawn.longest)
        if isinstance(step, str):
            return replace(found, reason=step)
        keeps_best = suite.budget.choose == "best" and suite.budget.source("validation") is not None
        peak = step.model_bytes + step.train_growth(at, keeps_best)
        unfit = memory.unfit(peak / memory.MIB, setting.profile, setting.memory)
        found = replace(found, step=step, peak_bytes=peak, unfit=unfit)
        seconds, source = _seconds(setting, estimator, found)
        return replace(found, seconds=seconds, seconds_from=source)

    data_order = seeds.streams(request.seeds[0])[seeds.DATA_ORDER]  # other seeds draw batches like these
    return [one(method, task, at[task.name]) for task in tasks for method in methods]


def _seconds(setting: Setting, estimator: Estimator, of: Forecast) -> tuple[float | None, Source | None]:
    seen = estimator.guess(Like(setting.profile.name, setting.request.suite.name, setting.model, *of.key))
    if seen is not None:
        return seen, "records"
    if setting.rate is None or of.train_steps is None or of.step is None or of.batches is None:
        return None, None
    steps, size, budget = of.train_steps, of.batches.examples, setting.request.suite.budget
    epoch = math.ceil((of.lengths.train or 0) / size)
    validations = math.ceil(steps / (budget.validate_every or epoch or 1)) if budget.choose == "best" else 1
    evaluated = ((of.lengths.test or 0) + validations * (of.lengths.validation or 0)) / size
    computed = steps  # of which the backbone is computed: not those of a head on features, see bench.train.features
    if of.recipe and of.recipe.recipe.dropout == 0 and of.count.parameters and not of.count.parameters.trainable:
        computed = min(steps, epoch)
    flops = computed * of.step.flops + evaluated * of.step.eval_flops
    return estimate(of.batches.mean / of.step.tokens * flops, steps, setting.rate), setting.rate.source


def skip_unfit(planned: Plan, request: Request, record: bool) -> Plan:
    """The plan, its cells that are predicted not to fit into memory marked as skipped; record: write their records."""
    reasons = {each.key: each.unfit for each in forecast(request)[1]}
    finished = dict(planned.finished)
    for cell in planned.pending:
        if reason := reasons[cell.method, cell.variant, cell.task]:
            finished[cell.id] = skipped = new_record(cell)
            skipped.status, skipped.reason = "skipped", reason
            if record:
                Store(request.results).write(skipped)
    return replace(planned, finished=finished)
