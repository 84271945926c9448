"""A task: the base class of every plugin in tasks/, and the form of its data.

Importable without torch. A task reads the files that `bench.sources.resolve` has fetched, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

Kind = Literal["classification", "multi-label", "regression", "token-classification"]
Pooling = Literal["model", "cls", "mean"]  # model: the model's own way
HeadPooling = Literal["model", "cls", "mean", "cls-dense"]  # cls-dense: through a dense layer of the head's own
Label = int | float | tuple[int, ...]
SPLITS = ("train", "validation", "test")


class Example(NamedTuple):
    """One labelled example.

    text is a string, or a tuple of words for token classification; pair is the second segment of a pair
    task. label is a class index; a tuple of the indices that hold, ascending and perhaps empty; a number; or a tuple
    of one label index a word.
    """

    text: str | tuple[str, ...]
    label: Label
    pair: str | None = None


Splits = dict[str, list[Example]]  # keys: SPLITS, and the task's extra tests


@dataclass(frozen=True)
class TaskContext:
    """What a method may know of the task that it is applied to.

    template holds the ids of the special tokens that the tokenizer puts around one full input of this
    task, in order: `[CLS] [SEP]` or `[CLS] [SEP] [SEP]` on BERT, four ids for a pair on RoBERTa. pooling: how the
    head reads a text, see `bench.train.pooling`; it says nothing for token classification. lacks_pooler: the model's
    files have no weights for the pooler that its head would read.
    """

    name: str
    kind: Kind
    pair: bool
    num_labels: int
    template: tuple[int, ...]
    pad_id: int
    pooling: HeadPooling = "model"
    lacks_pooler: bool = False


class Task:
    """A task. The registry finds a subclass in tasks/NAME.py.

    train is for training, validation for choosing, test for reporting. `labels` is empty for regression, and with
    `labels_in_data` until `read` has set it. `metric` is the name of a metric that scores this kind, see
    `python -m bench list metrics`.
    `extra_tests` names further test splits of what `read` returns, such as another genre of text: each is
    scored apart, in a row of its own (`NAME/SPLIT`), and none takes part in choosing.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    kind: ClassVar[Kind]
    pair: ClassVar[bool] = False
    source: ClassVar[str]
    labels: Sequence[str] = ()
    labels_in_data: ClassVar[bool] = False
    metric: ClassVar[str]
    extra_tests: ClassVar[Sequence[str]] = ()
    max_length: ClassVar[int] = 128
    citation: ClassVar[str] = ""

    def read(self, path: Path) -> Splits:
        """Read the resolved source into SPLITS and the extra tests.

        The same files always give the same splits, in order.
        """
        raise NotImplementedError

    @property
    def num_labels(self) -> int:
        """Outputs of the head: one a label, one for a regression."""
        return len(self.labels) if self.kind != "regression" else 1


def settle(task: Task, splits: Splits) -> None:
    """Bring labels into the form that Example has, in place: numpy's numbers, lists, and names of the task's labels."""
    index = {name: at for at, name in enumerate(task.labels)}
    text: Any  # of whatever type `read` gave it
    for split in splits.values():
        for at, (text, label, pair) in enumerate(split):
            if (settled := _settled(label, index)) is not label or isinstance(text, list):
                split[at] = Example(tuple(text) if isinstance(text, list) else text, settled, pair)


def _settled(label: Any, index: Mapping[str, int]) -> Any:
    if hasattr(label, "tolist"):
        label = label.tolist()
    if isinstance(label, str):
        return index.get(label, label)
    if isinstance(label, list) or (isinstance(label, tuple) and any(type(each) is not int for each in label)):
        return tuple(_settled(each, index) for each in label)
    return label
