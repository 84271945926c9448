"""One cell, from its assignment to its record, in named steps."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from bench import profiles
from bench.executors import Report
from bench.grid import seeds
from bench.grid.recipes import Overrides, length_scale, resolve_recipe
from bench.measure import environment
from bench.measure.flops import forward_flops
from bench.measure.machine import matmul_gflops
from bench.measure.memory import KINDS, MIB, CudaPeak, TensorPeak, process_peak_mib, storage_bytes
from bench.measure.time import RATES, Step, Timeline, throughput
from bench.plugins import registry
from bench.plugins.metric import answers_alike, constant_answer, score
from bench.records.packed import PackedList
from bench.records.record import ExtraTest, Memory, Parameters, Speed, new_record
from bench.train import kernels, modes
from bench.train.adaptation import adapt, put_on_scale, saved_bytes
from bench.train.assignment import Assignment
from bench.train.data import prepare
from bench.train.evaluation import predict, predict_largest_batch
from bench.train.kept import keep
from bench.train.loop import Callbacks, total_steps, train
from bench.train.model import load_config, load_model, quiet_libraries

NO_POOLER = (
    "The model's files have no weights for its pooler, so the head has a dense layer of its own in its place, which is "
    "drawn from the seed and trained with every method."
)
NO_BIAS = (
    "The last layer of the model's head has no bias, so the saved adapter predicts standardised targets: multiply by "
    "the record's target_std and add its target_mean."
)
NO_SHARES = "The metric {metric} has no score without each example, so methods are compared by seed alone."


class CellRun:
    """A cell while it runs: its steps, and what they hand on to each other.

    Each step enters what it finds into the record at once, so that a cell that fails keeps what is known by then.
    """

    def __init__(self, assignment: Assignment, on_progress: Report) -> None:
        self.assignment, self.on_progress = assignment, on_progress
        self.cell = assignment.cell
        self.record = new_record(self.cell)
        self.timeline = Timeline()
        self.device = self.cell.profile.device
        self.train_memory, self.eval_memory = CudaPeak(self.device), CudaPeak(self.device)
        self.train_peak_bytes: int | None = None
        self.eval_peak_bytes: int | None = None

    def run_steps(self) -> None:
        """Every step, in order."""
        with self.timeline.phase("set up"):
            self.set_up()
        with self.timeline.phase("read data"):
            self.read_data()
        with self.timeline.phase("load model"):
            self.load_model()
        self.on_progress({"steps": total_steps(len(self.data.splits["train"]), self.recipe)})
        with self.timeline.phase("machine speed"):
            self.machine_gflops = matmul_gflops(self.device)
        self.train()
        self.test()
        with self.timeline.phase("count FLOPs"):
            self.count_flops()
        with self.timeline.phase("save"):
            self.save()
        self.enter_costs()

    def set_up(self) -> None:
        """Find the plugins, and set torch as the profile says."""
        quiet_libraries()
        profiles.apply(self.cell.profile)
        self.record.environment = environment.snapshot()
        method_class = registry.methods(self.assignment.plugins).get(self.cell.method).plugin
        self.method = method_class(method_class.Params(**self.cell.params))
        self.task = registry.tasks(self.assignment.plugins).get(self.cell.task).plugin()
        self.record.metric = self.task.metric
        self.known_metrics = registry.metrics(self.assignment.plugins)
        self.record.higher_is_better = self.known_metrics.get(self.task.metric).plugin.higher_is_better
        self.stores_shares = self.task.metric not in self.known_metrics.built_in()

    def read_data(self) -> None:
        task_class = cast(Hashable, type(self.task))
        self.data = prepare(task_class, self.assignment.data, self.assignment.model, self.cell.budget)
        self.task, self.record.data = self.data.task, self.data.description
        self.record.notes += [self.data.note] if self.data.note else []
        # With the labels of the data, which a task may not know before.
        self.metrics = [found.plugin() for found in registry.metrics_of(self.task, self.known_metrics)]

    def load_model(self) -> None:
        """Load the model, draw its head, and apply the method."""
        cell, path = self.cell, self.assignment.model
        context = replace(self.data.context, pooling=cell.pooling)
        own = self.method.recipe(context, load_config(path))
        overrides = Overrides(cell.recipe, self.assignment.recipe_sources)
        resolved = resolve_recipe(own, overrides, cell.preset, length_scale(self.method, cell.budget), self.device)
        self.recipe = self.record.recipe = resolved.recipe
        self.record.recipe_sources = resolved.sources
        model = load_model(path, self.task.kind, self.task.num_labels, self.recipe.dropout)
        # Saved adapters name the model that they are for, which is not this machine's folder.
        model.config.name_or_path, model.config._commit_hash = cell.model, cell.model_revision
        self.adapted = adapt(model, self.method, context, self.record.seeds)
        if self.adapted.pooling == "cls-dense":
            self.record.notes.append(NO_POOLER)
        kernels.install(self.adapted.module, self.recipe.masks)
        self.adapted.module.to(self.device)
        modes.install(self.adapted.module, cell.profile)
        count = self.adapted.parameters
        self.record.parameters = Parameters(
            **asdict(count),
            share_percent=count.share_percent,
            share_with_head_percent=count.share_with_head_percent,
            formula=self.method.trainable_formula(model.config, context),
        )

    def train(self) -> None:
        has_validation = "validation" in self.data.splits
        choose = self.cell.budget.choose
        callbacks = Callbacks(
            on_progress=self._on_step,
            validate=self._validate if choose == "best" and has_validation else None,
            validate_every=self.cell.budget.validate_every,
            higher_is_better=bool(self.record.higher_is_better),
            measure=self._measure_step,
        )
        torch.manual_seed(self.record.seeds[seeds.TRAINING])
        profile = self.cell.profile
        with self.train_memory, modes.refusing_uncompilable(profile, lambda: bool(self.record.last_step)):
            self.trained = train(
                self.adapted,
                self.data.splits["train"],
                self.recipe,
                profile,
                self.record.seeds[seeds.DATA_ORDER],
                callbacks,
                self.timeline,
            )
        self.record.losses = PackedList(self.trained.losses)
        self.record.chosen_step = self.trained.chosen_step
        self.record.validation_scores = self.trained.validation_scores
        self.record.validation_steps = self.trained.validation_steps
        if choose == "last" and has_validation:
            self.record.validation_scores, self.record.validation_steps = [self._validate()], [len(self.trained.losses)]

    def _measure_step(self, held: Iterable[Tensor], compute: Callable[[], None]) -> None:
        with self.timeline.phase("measure memory"), TensorPeak(held) as peak:
            compute()
        self.train_peak_bytes = max(peak.peak_bytes or 0, self.train_peak_bytes or 0)

    def _on_step(self, steps: int, losses: Sequence[float], timed: Sequence[Step]) -> None:
        self.record.last_step = step = len(losses)
        self.on_progress({"step": step, "steps": steps, "loss": losses[-1], "losses": losses, "timed": timed})

    def _validate(self) -> float | None:
        with self.timeline.phase("validate"), self.train_memory.paused():
            predictions = self._predict("validation")
            score = self._scores("validation", predictions)[self.task.metric]
        self.on_progress({"validation": score})
        return score

    def _predict(self, split: str) -> list[object]:
        probabilities = self.metrics[0].of_probabilities
        return predict(self.adapted.module, self.data.splits[split], self.cell.profile, probabilities)

    def test(self) -> None:
        """Predict the test split and the task's extra tests, and score them."""
        model, test = self.adapted.module, self.data.splits["test"]
        with self.eval_memory, self.timeline.phase("test"):
            predictions = {"test": self._predict("test")}
        if self.device == "cpu":
            with self.timeline.phase("measure memory"), TensorPeak([*model.parameters(), *model.buffers()]) as peak:
                predict_largest_batch(model, test, self.cell.profile)
            self.eval_peak_bytes = peak.peak_bytes
        for name in self.task.extra_tests:
            if name in self.data.splits:
                with self.timeline.phase("extra tests"):
                    predictions[name] = self._predict(name)
        with self.timeline.phase("score"):
            found = {name: self._outcome(name, predictions[name]) for name in predictions}
        for name, value in found.pop("test"):
            setattr(self.record, name, value)
        self.record.extra_tests = found
        self.record.collapsed = self._collapsed()

    def _collapsed(self) -> str | None:
        """Why the training came to nothing; None: it did not, as far as its losses and its validation score tell."""
        validated = "validation" in self.data.splits
        if validated or self.cell.budget.score_on == "validation":
            score = self.record.validation_score if validated else self.record.score
            constant = self._constant_score("validation") if validated else self.record.constant_score
            sign = 1 if self.record.higher_is_better else -1
            if score is None or (constant is not None and sign * score <= sign * constant):
                return "the validation score is no better than a constant answer's"
        if self.trained.final_loss >= self.data.splits["train"].constant_loss(self.recipe.class_weights is not None):
            return "the training loss ended no lower than a constant answer's"
        return None

    def _outcome(self, split: str, predictions: list[object]) -> ExtraTest:
        references = self.data.splits[split].references
        shares = self.metrics[0].shares(predictions, references, self.task.labels) if self.stores_shares else None
        if self.stores_shares and shares is None and split == "test":
            self.record.notes.append(NO_SHARES.format(metric=self.task.metric))
        return ExtraTest(
            scores=self._scores(split, predictions),
            constant_score=self._constant_score(split),
            predictions=PackedList(predictions),
            references=PackedList(references),
            shares=PackedList(() if shares is None else shares.tolist()),
        )

    def _constant_score(self, split: str) -> float | None:
        train = self.data.splits["train"].references
        answer = constant_answer(self.metrics[0], self.task.kind, train, self.task.labels)
        answers = answers_alike(self.task.kind, answer, self.data.splits[split].references)
        return self._scores(split, answers)[self.task.metric]

    def _scores(self, split: str, predictions: list[object]) -> dict[str, float | None]:
        return score(self.metrics, predictions, self.data.splits[split].references, self.task.labels)

    def count_flops(self) -> None:
        """Of one forward pass on the test example of median length."""
        test = self.data.splits["test"]
        median = int(np.argsort(test.lengths, kind="stable")[len(test) // 2])
        with modes.uncompiled(self.cell.profile):
            inputs = test.batch([median]).to(self.device).inputs
            self.record.inference_flops = forward_flops(self.adapted.module, inputs)

    def save(self) -> None:
        """Save what was trained, for its size or to keep it."""
        results = self.assignment.results if self.assignment.keep_adapter else None
        scaled = self.task.kind != "regression" or put_on_scale(self.adapted, *self.data.splits["train"].scale)
        if results is None:
            self.record.adapter_bytes = saved_bytes(self.method, self.adapted)
            return
        self.record.notes += [] if scaled else [NO_BIAS]
        self.record.adapter_bytes = keep(results, self.method, self.adapted, self.record, self.task)

    def enter_costs(self) -> None:
        """Enter memory and throughput into the record."""
        self.record.memory = self._memory()
        self.record.speed = Speed(
            **{**throughput(self.trained.steps), **(dict.fromkeys(RATES) if self.trained.void else {})},
            eval_examples_per_second=len(self.data.splits["test"]) / self.timeline["test"],
            void=self.trained.void,
            workers=self.assignment.workers,
            exclusive=self.cell.profile.workers == 1,
            machine_gflops=self.machine_gflops,
        )

    def _memory(self) -> Memory:
        module = self.adapted.module
        model_bytes = storage_bytes([*module.parameters(), *module.buffers()])
        train, evaluation = self.train_memory, self.eval_memory
        return Memory(
            kind=KINDS.get(self.device),
            train_peak_mib=_mib(self.train_peak_bytes or train.peak_bytes),
            train_growth_mib=_mib(self.train_peak_bytes or train.peak_bytes, model_bytes),
            train_reserved_mib=_mib(train.reserved_bytes),
            eval_peak_mib=_mib(self.eval_peak_bytes or evaluation.peak_bytes),
            eval_growth_mib=_mib(self.eval_peak_bytes or evaluation.peak_bytes, model_bytes),
            eval_reserved_mib=_mib(evaluation.reserved_bytes),
            process_peak_mib=process_peak_mib(),
        )


def _mib(size: int | None, less: int = 0) -> float | None:
    return None if size is None else (size - less) / MIB
