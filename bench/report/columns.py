"""What each column is: its unit and how it was measured."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """One column of a table. type: text, integer, number. unit: empty where there is none."""

    name: str
    type: str
    unit: str
    description: str


COLUMNS = tuple(
    Column(*each)
    for each in (
        ("rank_group", "integer", "", "Rows of one group are not told apart; 1 is the best group of its task."),
        ("method", "text", "", "The method, with the parameters that differ from its defaults."),
        ("task", "text", "", "The task; a second test split of it is TASK/NAME."),
        ("model", "text", "", "The encoder that is tuned."),
        ("profile", "text", "", "The hardware profile. Rows of two profiles are never compared."),
        ("preset", "text", "", "The budget: how many examples, how long."),
        ("score_mean", "number", "the metric's", "Mean over seeds of the metric on the test split."),
        ("score_std", "number", "the metric's", "The sample's standard deviation over seeds."),
        ("score_ci95_low", "number", "the metric's", "Lower end of the mean's 95 % interval, by Student's t."),
        ("score_ci95_high", "number", "the metric's", "Upper end of the mean's 95 % interval, by Student's t."),
        ("n_seeds", "integer", "seeds", "Seeds that succeeded."),
        ("n_failed", "integer", "seeds", "Seeds that failed."),
        ("trainable_params", "integer", "parameters", "What trains, without the task head, by tensor identity."),
        ("trainable_share_percent", "number", "%", "The same as a share of the base model with its head."),
        ("adapter_bytes", "integer", "bytes", "What the method writes to keep what it trained, head included."),
        ("peak_train_memory_mib", "number", "MiB", "Peak while training; memory_kind says of what."),
        ("train_examples_per_second", "number", "examples/s", "Optimiser steps only, the first three dropped."),
        ("train_seconds", "number", "s", "The whole of training."),
    )
)
