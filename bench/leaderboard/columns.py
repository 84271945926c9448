"""The columns of the tables: name, type, unit and meaning, for CSV headers, data packages and the report page."""

from __future__ import annotations

from typing import Literal, NamedTuple

TABLES: dict[str, str] = {
    "leaderboard": "A row a method and task, over seeds.",
    "cells": "A row a cell: one training and its evaluation.",
    "pairs": "A row for every two methods on a task.",
    "overall": "A row a method over all tasks of a model, profile, preset and pooling.",
}


class Column(NamedTuple):
    """One column. type: a Frictionless Table Schema type. unit: None for text and plain numbers."""

    name: str
    type: Literal["string", "integer", "number", "datetime"]
    description: str
    unit: str | None = None


_METHOD = (
    Column("method", "string", "Method, as --methods takes it."),
    Column("method_params", "string", "Parameters that differ from the method's defaults; empty if none does."),
)
_GROUP = (
    Column("task", "string", "Task; TASK/NAME is an extra test split of a task, scored separately."),
    Column("model", "string", "Pretrained encoder."),
    Column("profile", "string", "Hardware profile; numbers of different profiles are not comparable."),
    Column("preset", "string", "Suite that sets the budget."),
)
_POOLING = Column("pooling", "string", "What heads for whole texts read: model (the model's own way), cls or mean.")
_METRIC = Column("metric", "string", "Metric on the test split.")
_COSTS = (
    Column("method_params_count", "integer", "Parameters that the method trains, or adds and keeps frozen, without the "
           "head, by tensor identity.", "parameters"),
    Column("trainable_params", "integer", "Parameters that the method trains, without the head, by tensor identity.",
           "parameters"),
    Column("trainable_share_percent", "number", "trainable_params over the base model with its head.", "%"),
    Column("trainable_share_with_head_percent", "number", "The same with the head's parameters counted as trained.",
           "%"),
    Column("adapter_bytes", "integer", "Size of the files that the method writes to keep what it trained, head "
           "included.", "bytes"),
    Column("peak_train_memory_mib", "number", "Peak memory while training; memory_kind says of what.", "MiB"),
    Column("peak_eval_memory_mib", "number", "Peak memory while the test split is predicted.", "MiB"),
    Column("memory_kind", "string", "cpu-tensors: bytes of live tensors. cuda-allocated: the same on the GPU, by "
           "torch's allocator. cpu-rss, in earlier versions: resident size of the process."),
    Column("train_examples_per_second", "number", "Optimiser steps only (forward, backward, update), the first three "
           "dropped: sum of examples over sum of seconds. Empty where training did nothing, or several workers "
           "shared the machine.", "1/s"),
    Column("train_tokens_per_second", "number", "The same for tokens, padding not counted.", "1/s"),
    Column("eval_examples_per_second", "number", "Test examples over the seconds of predicting them.", "1/s"),
    Column("step_p50_ms", "number", "Median time of an optimiser step.", "ms"),
    Column("step_p95_ms", "number", "95th percentile of the time of an optimiser step.", "ms"),
    Column("train_seconds", "number", "Time of all optimiser steps of one cell.", "s"),
)  # fmt: skip
_RECIPE = (
    Column("recipe_chosen_by", "string", "Who chose the optimiser settings, and on which data."),
    Column("tuning_trials", "integer", "Settings that were tried before for this method; 0: none, the recipe is "
           "inherited from the method's defaults; empty if unknown.", "trials"),
    Column("tuning_examples", "integer", "Training examples of each of these trials.", "examples"),
)  # fmt: skip


def _of_tasks(name: str) -> Column:
    """A cost over tasks."""
    (column,) = (column for column in _COSTS if column.name == name)
    return column._replace(description=f"Median over tasks. {column.description}")


def _difference(name: str, other: str) -> tuple[Column, ...]:
    """How far a method lies from another one over tasks."""
    family = "all pairs of methods, since the best is chosen from the same data" if name == "best" else "all methods"
    return (
        Column(f"difference_to_{name}", "number", f"Mean over tasks of the method's score less that of {other}, at "
               "common seeds; above 0 is better, whatever the metric."),
        Column(f"difference_to_{name}_ci95_low", "number", "Lower end of its 95 % interval over seeds and test "
               f"examples, simultaneous for {family}."),
        Column(f"difference_to_{name}_ci95_high", "number", "Upper end of it."),
    )  # fmt: skip


_VERSIONS = (
    Column("schema_version", "integer", "Schema version of the records."),
    Column("bench_version", "string", "Version of this program."),
)

LEADERBOARD = (
    Column("rank_group", "integer", "Deprecated, use letters: rows of one group do not differ significantly from its "
           "best alone, so that a worse mean may stand in a better group. Empty for rows of fewer than two seeds."),
    *_METHOD,
    *_GROUP,
    _METRIC,
    Column("score_mean", "number", "Mean of the metric over seeds."),
    Column("score_std", "number", "Sample standard deviation over seeds; empty for one seed."),
    Column("score_ci95_low", "number", "Lower end of the mean's 95 % interval over seeds (Student's t); empty for one "
           "seed."),
    Column("score_ci95_high", "number", "Upper end of it."),
    Column("n_seeds", "integer", "Seeds that finished."),
    Column("n_failed", "integer", "Seeds that failed, by error, memory, time or interruption."),
    Column("status", "string", "ok, or the statuses of the cells that did not finish, counted."),
    *_COSTS,
    *_RECIPE,
    *_VERSIONS,
    Column("score_median", "number", "Median of the metric over seeds."),
    Column("n_collapsed", "integer", "Seeds whose training came to nothing: validation no better than a constant "
           "answer, or a training loss that ended no lower than one's. Their scores count."),
    _POOLING,
    Column("letters", "string", "Rows of a task that share a letter do not differ significantly, corrected for all "
           "pairs of the task (Holm); a has the best. Empty for rows of fewer than two seeds."),
)  # fmt: skip

CELLS = (
    Column("cell", "string", "Id of the cell: a hash of everything that its numbers depend on."),
    *_METHOD,
    *_GROUP,
    Column("seed", "integer", "Seed."),
    _METRIC,
    Column("score", "number", "The metric on the test split."),
    Column("constant_score", "number", "The metric of the best constant answer."),
    Column("validation_score", "number", "The metric on the validation split with the reported weights; empty if "
           "nothing was validated."),
    Column("status", "string", "ok, oom, error, timeout, interrupted or skipped."),
    Column("reason", "string", "Why the status is not ok."),
    *_COSTS,
    Column("inference_flops", "integer", "Floating-point operations of one forward pass over the test example of "
           "median length, alone: matrix products and attention, a multiply and an add counted as two.", "FLOP"),
    Column("machine_gflops", "number", "Rate of one thread's matrix products, measured with the cell: the speed of the "
           "machine at that time.", "GFLOP/s"),
    Column("total_seconds", "number", "Time of the whole cell, including loading and evaluation.", "s"),
    Column("started_at", "datetime", "Start of the cell, UTC."),
    Column("code", "string", "Hash of the code and libraries that the numbers depend on."),
    *_VERSIONS,
    Column("collapsed", "string", "Why the training came to nothing; empty if it did not, or is not known to have."),
    _POOLING,
    Column("adapter", "string", "Folder of the trained adapter within the results folder of the run; empty where none "
           "was kept."),
)  # fmt: skip

PAIRS = (
    *_GROUP,
    _METRIC,
    Column("method_a", "string", "The method with the better mean, parameters in brackets."),
    Column("method_b", "string", "The other one."),
    Column("difference", "number", "How much better a is: mean of a's score less b's over common seeds, with the sign "
           "turned where a lower score is better."),
    Column("ci95_low", "number", "Lower end of the difference's 95 % interval, over seeds and test examples."),
    Column("ci95_high", "number", "Upper end of it."),
    Column("p_value", "number", "Two-sided, paired by seed and by example, not corrected."),
    Column("p_holm", "number", "The same, corrected for all pairs of the task (Holm); where one method was chosen to "
           "compare with, for the pairs with it."),
    Column("n_seeds", "integer", "Common seeds."),
    Column("n_examples", "integer", "Test examples of both; empty if only seeds could be compared."),
    Column("minimum_detectable", "number", "True difference that this comparison detects with 80 % power, before "
           "correction."),
    Column("verdict", "string", "a is better; no significant difference; no claim (fewer than two common seeds)."),
    _POOLING,
    Column("minimum_detectable_holm", "number", "True difference that is detected with 80 % power after the correction "
           "of p_holm."),
)  # fmt: skip

OVERALL = (
    *_GROUP[1:],
    Column("method", "string", "Method, parameters in brackets."),
    Column("n_tasks", "integer", "Tasks on which the method has a score. Means, ranks and differences are of methods "
           "that have one on every task."),
    Column("average_rank", "number", "Mean of the method's ranks on these tasks; 1 is the best, ties share."),
    Column("critical_difference", "number", "Average ranks closer than this do not differ significantly (Nemenyi, "
           "5 %)."),
    Column("friedman_p", "number", "p-value of all methods being equal (Friedman); empty for two methods."),
    Column("group", "integer", "Deprecated, use letters: methods of one group have average ranks that do not differ "
           "significantly from that of its best; 1 is the best."),
    _POOLING,
    Column("letters", "string", "Methods that share a letter do not differ significantly in the mean over tasks, "
           "corrected for all pairs (Holm); a has the best. Empty for methods of fewer than two seeds on a task."),
    Column("score_mean", "number", "Mean over tasks of the tasks' mean scores; of different metrics, a convention. "
           "Empty where a higher score is better on some tasks and a lower one on others."),
    Column("gain_percent", "number", "Mean over tasks of the share of the way from the scores of head (0) to those of "
           "full (100). Empty unless both are in the table and full is better on every task.", "%"),
    *_difference("best", "the best method"),
    Column("against", "string", "The method that was chosen to compare with, before the results were known."),
    *_difference("against", "that method"),
    Column("n_not_worse_than_best", "integer", "Tasks on which the method is not significantly worse than the task's "
           "best, corrected for all pairs of the task. Empty where a task has fewer than two seeds of either."),
    *(_of_tasks(name) for name in ("trainable_share_percent", "peak_train_memory_mib", "train_examples_per_second",
                                   "adapter_bytes", "train_seconds")),
    Column("n_collapsed", "integer", "Trainings on all tasks that came to nothing. Their scores count."),
    Column("n_failed", "integer", "Trainings on all tasks that failed."),
)  # fmt: skip

COLUMNS: dict[str, tuple[Column, ...]] = {
    "leaderboard": LEADERBOARD, "cells": CELLS, "pairs": PAIRS, "overall": OVERALL,
}  # fmt: skip


def names(columns: tuple[Column, ...]) -> tuple[str, ...]:
    """The columns' names, in order."""
    return tuple(column.name for column in columns)
