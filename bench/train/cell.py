"""One cell, start to record. Runs in a worker process; whatever happens in here ends as a record."""

from __future__ import annotations

import traceback
from collections.abc import Hashable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from bench import __version__, profiles
from bench.errors import NotApplicable, StoreError
from bench.executors import Report, Retire
from bench.grid import seeds
from bench.grid.cell import Cell
from bench.grid.recipes import Overrides, resolve_recipe
from bench.measure import environment
from bench.measure.flops import forward_flops
from bench.measure.machine import matmul_gflops
from bench.measure.memory import MemoryWindow, MemoryWindows, is_out_of_memory, settle, settled
from bench.measure.parameters import ParameterCount
from bench.measure.time import Timeline, throughput
from bench.plugins import metrics, registry
from bench.records.packed import PackedList
from bench.records.record import ExtraTest, Memory, Parameters, Record, Speed, Status
from bench.records.store import Store
from bench.train.adaptation import adapt, save
from bench.train.model import load_config, load_model, quiet_libraries
from bench.train.prepared import prepare

TRACEBACK_CHARS = 8000


@dataclass(frozen=True)
class Assignment:
    """A cell with what a worker needs to run it: where its files lie on this machine.

    plugins: files given with --plugin. workers: how many workers share the machine. results: the folder
    that takes the record; None: the caller alone gets it. keep_adapter: leave what was trained there too.
    recipe_sources: where the settings of `cell.recipe` are from.
    """

    cell: Cell
    data: Path
    model: Path
    plugins: tuple[Path, ...]
    workers: int
    results: Path | None
    keep_adapter: bool = False
    recipe_sources: Mapping[str, str] = field(default_factory=dict)


def run(assignment: Assignment, report: Report) -> Any:
    """The executor's target: run a cell, write its record, and return it as a dictionary.

    After running out of memory the worker asks to be replaced: what a failed allocation leaves behind is
    not a fair start for the next cell.
    """
    cell = assignment.cell
    record = new_record(cell)
    steps: list[int] = []

    def progress(data: dict[str, Any]) -> None:
        if "step" in data:
            steps.append(data["step"])
        report(data)

    timeline = Timeline()
    try:
        _fill(record, cell, assignment, timeline, progress)
        record.status = "ok"
    except NotApplicable as error:
        _end(record, "skipped", str(error))
    except Exception as error:  # noqa: BLE001 - every cell ends as a record
        status: Status = "oom" if is_out_of_memory(error) else "error"
        _end(record, status, f"{type(error).__name__}: {error}".strip().splitlines()[0])
        record.traceback = environment.anonymous(traceback.format_exc()[-TRACEBACK_CHARS:])
    record.last_step = steps[-1] if steps else None
    record.timeline = timeline.seconds()
    record.finished_at = now()
    if assignment.results is not None:
        # Written here and not by the driver: a driver that dies now must not take a finished cell along. Where that
        # cannot be done the driver tries again, and ends the run if it cannot either.
        with suppress(StoreError):
            Store(assignment.results).write(record)
    result = record.model_dump(mode="json")
    return Retire(result) if record.status == "oom" else result


def new_record(cell: Cell) -> Record:
    """The record of a cell of which nothing is known yet."""
    moment = now()
    return Record(
        bench_version=__version__,
        id=cell.id,
        cell=cell,
        status="error",
        started_at=moment,
        finished_at=moment,
        seeds=seeds.streams(cell.seed),
    )


def now() -> str:
    """The time in UTC, ISO 8601, whole milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _end(record: Record, status: Status, reason: str) -> None:
    record.status, record.reason = status, environment.anonymous(reason)


def _fill(record: Record, cell: Cell, assignment: Assignment, timeline: Timeline, report: Report) -> None:
    """Run the cell, entering each thing into the record once it is known."""
    with timeline.phase("set up"):
        if settled():
            settle()  # what an earlier cell imported; of the cell itself nothing is left
        import numpy as np
        import torch

        from bench.train import kernels
        from bench.train.loop import Progress, batch_to, placement_of, predict, total_steps, train

        quiet_libraries()
        profiles.apply(cell.profile)
        record.environment = environment.snapshot()
        plugins = assignment.plugins
        method_class = registry.methods(plugins).get(cell.method).plugin
        method = method_class(method_class.Params(**cell.params))
        task_class = registry.tasks(plugins).get(cell.task).plugin
        task = task_class()
        record.metric = task.metric
        record.higher_is_better = metrics.METRICS[task.metric].higher_is_better

    with timeline.phase("read data"):
        prepared = prepare(cast(Hashable, task_class), assignment.data, assignment.model, cell.budget)
        data, task_context = prepared.splits, prepared.context
        record.data = prepared.description

    with timeline.phase("load model"):
        config = load_config(assignment.model)
        resolved = resolve_recipe(
            method.recipe(task_context, config),
            Overrides(cell.recipe, assignment.recipe_sources),
            cell.preset,
            cell.budget,
            cell.profile.device,
        )
        recipe = record.recipe = resolved.recipe
        record.recipe_sources = resolved.sources
        model = load_model(assignment.model, task.kind, task.num_labels, recipe.dropout)
        # Where the files lie on this machine is no name; adapters that say what they are for say this.
        model.config.name_or_path, model.config._commit_hash = cell.model, cell.model_revision
        adapted = adapt(model, method, task_context, record.seeds)
        kernels.use(adapted.module, recipe.masks)
        adapted.module.to(cell.profile.device)
        record.parameters = _parameters(adapted.parameters, method.trainable_formula(model.config, task_context))
        placement = placement_of(cell.profile)

    report({"steps": total_steps(len(data["train"]), recipe)})

    train_memory = MemoryWindows(cell.profile.device)

    def score(split: str, answers: list[Any]) -> dict[str, float | None]:
        return metrics.score(task.metric, answers, data[split].references, task.labels)

    def validate() -> float | None:
        with timeline.phase("validate"), train_memory.paused():
            found = score("validation", predict(adapted.module, data["validation"], placement))
        report({"validation": found[task.metric]})
        return found[task.metric]

    def told(progress: Progress) -> None:
        report({"step": progress.step, "steps": progress.steps, "loss": progress.loss})

    with timeline.phase("machine speed"):
        machine_gflops = matmul_gflops(cell.profile.device)

    torch.manual_seed(record.seeds[seeds.TRAINING])
    with ExitStack() as measured:
        with timeline.phase("free memory"):
            measured.enter_context(train_memory)
        trained = train(
            adapted.module,
            data["train"],
            recipe,
            placement,
            seed=record.seeds[seeds.DATA_ORDER],
            head=adapted.head,
            timeline=timeline,
            report=told,
            after_epoch=validate if cell.budget.choose == "best" and "validation" in data else None,
            higher_is_better=record.higher_is_better,
        )
    record.losses = PackedList(trained.losses)
    record.chosen_epoch = trained.chosen_epoch
    record.validation_scores = trained.validation_scores
    if cell.budget.choose == "last" and "validation" in data:
        record.validation_scores = [validate()]

    with ExitStack() as measured:
        with timeline.phase("free memory"):
            eval_memory = measured.enter_context(MemoryWindow(cell.profile.device))
        with timeline.phase("test"):
            answers = predict(adapted.module, data["test"], placement)
    extra = {}
    for name in task.extra_tests:
        if name in data:
            with timeline.phase("extra tests"):
                extra[name] = predict(adapted.module, data[name], placement)

    def result(split: str, answers: list[Any]) -> dict[str, Any]:
        references = data[split].references
        constant = metrics.constant_answer(task.metric, data["train"].references, references, task.labels)
        return {
            "scores": score(split, answers),
            "constant_score": constant,
            "predictions": answers,
            "references": references,
        }

    with timeline.phase("score"):
        for field, value in result("test", answers).items():
            setattr(record, field, value)
        record.extra_tests = {name: ExtraTest(**result(name, found)) for name, found in extra.items()}

    with timeline.phase("count FLOPs"):
        middle = int(np.argsort(data["test"].lengths, kind="stable")[len(data["test"]) // 2])
        record.inference_flops = forward_flops(
            adapted.module, batch_to(data["test"].batch([middle]), placement.device).inputs
        )

    with timeline.phase("save"):
        kept = None
        if assignment.keep_adapter and assignment.results is not None:
            kept = Store(assignment.results).adapter(cell.id)
        record.adapter_bytes = save(method, adapted.module, kept)
    record.memory = _memory(train_memory, eval_memory)
    speed = throughput(trained.steps)
    record.speed = Speed(
        train_examples_per_second=None if trained.void else speed.examples_per_second,
        train_tokens_per_second=None if trained.void else speed.tokens_per_second,
        step_p50_ms=None if trained.void else speed.step_p50_ms,
        step_p95_ms=None if trained.void else speed.step_p95_ms,
        steps_counted=speed.steps,
        steps_dropped=speed.dropped,
        eval_examples_per_second=len(answers) / timeline["test"],
        void=trained.void,
        workers=assignment.workers,
        exclusive=cell.profile.workers == 1,
        machine_gflops=machine_gflops,
    )


def _parameters(count: ParameterCount, formula: int | None) -> Parameters:
    return Parameters(
        **asdict(count),
        share_percent=count.share_percent,
        share_with_head_percent=count.share_with_head_percent,
        formula=formula,
    )


def _memory(train: MemoryWindows, evaluation: MemoryWindow) -> Memory:
    return Memory(
        kind=train.kind,
        train_peak_mib=train.peak_mib,
        train_growth_mib=train.growth_mib,
        train_reserved_mib=train.reserved_mib,
        eval_peak_mib=evaluation.peak_mib,
        eval_growth_mib=evaluation.growth_mib,
        eval_reserved_mib=evaluation.reserved_mib,
    )
