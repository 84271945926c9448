"""What the nine tasks of GLUE share; they differ in columns, labels and metric only.

The test labels of GLUE are hidden, so every task reports on the official validation split and chooses on
a part of train that a fixed hash picks.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bench.plugins.splits import official
from bench.plugins.task import Example, Kind, Splits, Task
from tasks import _parquet

CITATION = "Wang et al., GLUE, ICLR 2019"


def source(folder: str) -> str:
    """One task's folder of parquet files in the pinned repository."""
    return f"hub:datasets/nyu-mll/glue@bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c!/{folder}"


class GlueTask(Task):
    """One of the nine.

    columns: the text column, or the two of a pair. held_out: how many training examples are for choosing.
    test_split: the repository's split behind `test`; an extra test NAME is its `validation_NAME`.
    """

    kind: ClassVar[Kind] = "classification"
    columns: ClassVar[Sequence[str]]
    held_out: ClassVar[int]
    test_split: ClassVar[str] = "validation"

    def read(self, path: Path) -> Splits:
        return official(
            self._examples(path, "train"),
            self._examples(path, self.test_split),
            salt=self.name,
            validation=self.held_out,
            extra_tests={name: self._examples(path, f"validation_{name}") for name in self.extra_tests},
        )

    def _examples(self, path: Path, split: str) -> list[Example]:
        number = float if self.kind == "regression" else int
        text, *pair = self.columns
        return [
            Example(row[text], number(row["label"]), *(row[column] for column in pair))
            for row in _parquet.rows(path, split)
        ]
