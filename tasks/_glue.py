"""What the nine tasks of GLUE share; they differ in columns, labels and metric only.

The test labels of GLUE are hidden, so every task reports on the official validation split and chooses on
a part of train that a fixed hash picks.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.plugins import Example, Splits, Task, official
from bench.plugins.task import Kind
from tasks._parquet import rows

REPOSITORY = "hub:datasets/nyu-mll/glue@bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"


class GlueTask(Task):
    """One of the nine, glue-NAME, from the folder NAME of the repository.

    columns: the text column, or the two of a pair. held_out: how many training examples are for choosing.
    test_split: the repository's split behind `test`; an extra test NAME is its `validation_NAME`.
    """

    kind: ClassVar[Kind] = "classification"
    columns: ClassVar[Sequence[str]]
    held_out: ClassVar[int]
    test_split: ClassVar[str] = "validation"

    def __init_subclass__(cls, **others: Any) -> None:
        super().__init_subclass__(**others)
        cls.source = f"{REPOSITORY}!/{cls.name.removeprefix('glue-')}"
        cls.citation = f"{cls.citation}; Wang et al., GLUE, ICLR 2019"

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
            Example(row[text], number(row["label"]), *(row[column] for column in pair)) for row in rows(path, split)
        ]
