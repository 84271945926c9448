"""The record of a cell: one JSON object, whether the cell finished or failed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.grid import seeds
from bench.grid.cell import Cell
from bench.plugins.recipe import Recipe
from bench.records.packed import PackedList
from bench.version import __version__

SCHEMA_VERSION = 9
# 1 had no extra tests; 2 no labels, inference FLOPs and machine speed; 3 no word on whether throughput was exclusive;
# 4 no retries; 5 no trials of a recipe, and test alone was scored; 6 no sources of a recipe; 7 no collapsed trainings,
# and the number of an epoch in place of the steps of validations; 8 no folder of the adapter
COLLAPSED_SINCE = 8
READABLE_VERSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 9)

Status = Literal["ok", "oom", "error", "timeout", "interrupted", "skipped"]
FAILED: tuple[Status, ...] = ("error", "oom", "timeout", "interrupted")  # "skipped" is on purpose

# A record may come from anywhere. No measured value reaches these bounds (the square of a float32 is up to 1e77), and
# sums and squares of values within them are finite.
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(ge=-1e100, le=1e100)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Parameters(_Part):
    """Numbers of scalar parameters, see bench.measure.parameters. formula: the number in the method's paper."""

    base: Count
    trainable: Count
    head: Count
    method: Count
    share_percent: Number
    share_with_head_percent: Number
    formula: Count | None


class Memory(_Part):
    """Peaks in MiB; growth is relative to the loaded model. None: unknown.

    kind: "cpu-tensors" and "cuda-allocated" are bytes of live tensors; earlier versions had "cpu-rss", the resident
    size of the process. process_peak_mib: the largest resident size of the process until the cell's end, which depends
    on what ran before in it; None also in earlier versions.
    """

    kind: str | None
    train_peak_mib: Number | None
    train_growth_mib: Number | None
    train_reserved_mib: Number | None
    eval_peak_mib: Number | None
    eval_growth_mib: Number | None
    eval_reserved_mib: Number | None
    process_peak_mib: Number | None = None


class Speed(_Part):
    """Throughput of optimiser steps and of the evaluation on test; void says why that of training is meaningless.

    workers: how many workers ran on the machine. exclusive: whether none of them shared this one's GPU or cores, so
    that throughput can be compared; None: the schema version did not have it. machine_gflops: the machine's speed at
    that time, see bench.measure.machine.
    """

    train_examples_per_second: Number | None
    train_tokens_per_second: Number | None
    step_p50_ms: Number | None
    step_p95_ms: Number | None
    steps_counted: Count
    steps_dropped: Count
    eval_examples_per_second: Number | None
    void: str | None
    workers: Count
    exclusive: bool | None = None
    machine_gflops: Number | None = None


class Truncation(_Part):
    """What was cut from a split's inputs, as shares: of its examples, and of their content.

    The content of token classification is its words, of which those that are lost count as wrong; of other tasks it is
    the tokens, without special ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    examples: Number
    content: Number


class Data(_Part):
    """The data of a cell: examples a split, how often each label occurs, and a hash of all of it.

    labels: the names of the label indices in order, empty for a regression; None: the schema version did not have it.
    removed: examples of the source that are in no split because their input is in one already. conflicts: inputs of
    the source with more than one label. dropped: rows of the source that lack a text or a label. None: the task does
    not count them, or the schema version did not have it. target_mean, target_std: of a regression's training targets,
    which are learned as (target - mean) / std. max_length: tokens at which inputs are cut: the task's, or less where
    the model takes fewer. truncation: by split.
    """

    examples: dict[str, Count]
    labels: list[str] | None = None
    label_counts: dict[str, dict[str, Count]]
    digest: str
    removed: Count | None = None
    conflicts: Count | None = None
    dropped: Count | None = None
    target_mean: Number | None = None
    target_std: Number | None = None
    max_length: Count | None = None
    truncation: dict[str, Truncation] = Field(default_factory=dict)


class ExtraTest(_Part):
    """The results on one extra test of the task; see the fields of the same names in `Record`."""

    scores: dict[str, Number | None] = Field(default_factory=dict)
    constant_score: Number | None = None
    predictions: PackedList[Any] = Field(default_factory=PackedList)
    references: PackedList[Any] = Field(default_factory=PackedList)
    shares: PackedList[Number] = Field(default_factory=PackedList)


class Record(_Part):
    """The outcome of a cell. What the cell did not get to is None or empty.

    scores: the task's metric and its companions on the test split. constant_score: the metric of the best constant
    answer. validation_scores: at `validation_steps`; the reported weights are those of chosen_step, or of the end.
    collapsed: why the training came to nothing. notes: what is doubtful about the cell, a sentence each. predictions
    and references: one entry a test example, in the split's order. shares: what each of them has in the score, where
    the metric is not built in; the others' are computed when they are used. extra_tests: these five for each extra test
    of the task. recipe_sources: where each setting of the recipe is from, see bench.grid.recipes. adapter: the folder
    that the trained adapter was kept in, within the results folder. inference_flops: of one forward pass over the test
    example of median length. losses: one a step. timeline: seconds by phase, with the untracked rest and the total.
    retries: how far each earlier attempt got that was lost with its machine.
    """

    schema_version: Count = SCHEMA_VERSION
    bench_version: str
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    cell: Cell
    status: Status
    reason: str | None = None
    traceback: str | None = None
    last_step: Count | None = None
    retries: list[str] = Field(default_factory=list)
    started_at: str
    finished_at: str
    seeds: dict[str, Count]
    metric: str | None = None
    higher_is_better: bool | None = None
    scores: dict[str, Number | None] = Field(default_factory=dict)
    constant_score: Number | None = None
    validation_scores: list[Number | None] = Field(default_factory=list)
    validation_steps: list[Count] = Field(default_factory=list)
    chosen_step: Count | None = None
    chosen_epoch: Count | None = None  # in records before version 8, in place of the steps
    collapsed: str | None = None
    notes: list[str] = Field(default_factory=list)
    recipe: Recipe | None = None
    recipe_sources: dict[str, str] = Field(default_factory=dict)
    parameters: Parameters | None = None
    adapter_bytes: Count | None = None
    adapter: str | None = None
    inference_flops: Count | None = None
    memory: Memory | None = None
    speed: Speed | None = None
    data: Data | None = None
    timeline: dict[str, Number] = Field(default_factory=dict)
    losses: PackedList[Number] = Field(default_factory=PackedList)
    predictions: PackedList[Any] = Field(default_factory=PackedList)
    references: PackedList[Any] = Field(default_factory=PackedList)
    shares: PackedList[Number] = Field(default_factory=PackedList)
    extra_tests: dict[str, ExtraTest] = Field(default_factory=dict)
    environment: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _chosen_point_was_validated(self) -> Self:
        scores = len(self.validation_scores)
        if self.chosen_step is not None and self.chosen_step not in self.validation_steps[:scores]:
            raise ValueError(f"chosen_step is {self.chosen_step}, at which there is no validation")
        if (self.chosen_epoch or 0) > scores > 0:
            raise ValueError(f"chosen_epoch is {self.chosen_epoch}, and there are {scores} validations")
        return self

    @property
    def score(self) -> float | None:
        """The task's metric on the test split."""
        return self.scores.get(self.metric) if self.metric else None

    @property
    def validation_score(self) -> float | None:
        """The metric on the validation split with the reported weights."""
        if self.chosen_step is not None:
            return self.validation_scores[self.validation_steps.index(self.chosen_step)]
        return self.validation_scores[(self.chosen_epoch or 0) - 1] if self.validation_scores else None

    @property
    def exclusive_speed(self) -> Speed | None:
        """The speed; None if other workers slowed this one down."""
        if self.speed is None:
            return None
        shared = self.speed.workers > 1 if self.speed.exclusive is None else not self.speed.exclusive
        return None if shared else self.speed

    @property
    def failed(self) -> bool:
        return self.status in FAILED

    def on(self, extra_test: str) -> Record:
        """The record with an extra test in place of the test split, for the task `TASK/EXTRA_TEST`."""
        found = self.extra_tests.get(extra_test, ExtraTest())
        return self.model_copy(
            update={
                "cell": self.cell.model_copy(update={"task": f"{self.cell.task}/{extra_test}"}),
                "extra_tests": {},
                **{name: getattr(found, name) for name in ExtraTest.model_fields},
            }
        )

    def to_json(self) -> str:
        """One line of JSON; floats keep every bit."""
        return json.dumps(self.model_dump(mode="json"), separators=(",", ":"), allow_nan=False) + "\n"


def new_record(cell: Cell) -> Record:
    """The record of a cell at its start."""
    now = timestamp()
    return Record(
        bench_version=__version__,
        id=cell.id,
        cell=cell,
        status="error",
        started_at=now,
        finished_at=now,
        seeds=seeds.streams(cell.seed),
    )


def timestamp() -> str:
    """The time in UTC, ISO 8601, whole milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
