"""Tasks that violate one requirement each, by the check that has to find it."""

from functools import partial
from typing import Any

from broken import Broken, breaks_a_requirement
from honest_plugins import Seasons

from bench.errors import SourceError
from bench.plugins import Example, Task

BROKEN: list[Broken] = []
breaks = partial(breaks_a_requirement, BROKEN)


class _Changed(Seasons):
    """The seasons, with each example of each split passed through `change`."""

    def read(self, path):
        splits = super().read(path)
        return {name: [self.change(example) for example in found] for name, found in splits.items()}

    def change(self, example):
        return example


class Temperatures(_Changed):
    """Keeps the contract."""

    kind, metric, labels = "regression", "spearman", ()

    def change(self, example):
        return example._replace(label=len(example.text) + example.label / 2)


class Topics(_Changed):
    """Keeps the contract."""

    kind, metric, labels = "multi-label", "f1_micro", ("cold", "warm", "long")

    def change(self, example):
        return example._replace(label=(example.label, *([2] if len(example.text) % 2 else [])))


class Words(_Changed):
    """Keeps the contract."""

    kind, metric, labels = "token-classification", "entity_f1", ("O", "B-month", "I-month")

    def change(self, example):
        words = tuple(example.text.split())
        return Example(words, tuple(int(word[0].isupper()) for word in words))


def declares(check: str, error: str, *also: str, base: type[Task] = Seasons, **members: Any) -> None:
    """A task that declares something else."""
    breaks(check, error, *also)(type(f"Variant{len(BROKEN)}", (base,), members))


def reads(check: str, error: str, splits: Any, *also: str, base: type[Task] = Seasons, **members: Any) -> None:
    """A task that reads something else: what `splits` makes of the base's splits."""
    declares(check, error, *also, base=base, read=lambda self, path: splits(base.read(self, path)), **members)


def changes(check: str, error: str, change: Any, *also: str, base: type[Task] = _Changed) -> None:
    """A task each of whose examples is something else."""
    declares(check, error, *also, base=base, change=lambda self, example: change(base.change(self, example)))


def fails(error: Exception) -> Any:
    def splits(found: Any) -> Any:
        raise error

    return splits


declares("labels", "labels must be a sequence of names, and is 'cw'", labels="cw")
declares("labels", "labels names 'cold' twice", labels=("cold", "cold", "warm"))
declares("labels", "a regression has no labels, and these are named: cold, warm",
         base=Temperatures, labels=("cold", "warm"))  # fmt: skip
declares("metric", "the label 'month' is none of O, B-..., I-...", base=Words,
         labels=("O", "B-month", "month"))  # fmt: skip
declares("metric", "the label 'I-year' continues an entity that no label begins", base=Words,
         labels=("O", "B-month", "I-year"))  # fmt: skip
declares("labels", "token classification reads one text, and pair is True", "texts", base=Words,
         pair=True)  # fmt: skip

declares("metric", "There is no metric 'luck'", "scores", metric="luck")
declares("metric", "the metric 'spearman' does not score classification; these do: accuracy, ",
         metric="spearman")  # fmt: skip
reads(
    "metric", "the metric 'f1' does not score 3 labels; these do: accuracy",
    lambda splits: {name: [*found, Example(f"{name} of a hot day", 2)] for name, found in splits.items()},
    "scores", metric="f1", labels=("cold", "warm", "hot"),
)  # fmt: skip

declares("max-length", "max_length must be a whole number of at least 8, and is 128.0", max_length=128.0)
declares("max-length", "and is 4", max_length=4)
declares("citation", "citation must say whose data it is, and is ''", citation="")
declares("source", "'hub:datasets/a' is malformed; write hub:OWNER/NAME[@REVISION]",
         source="hub:datasets/a")  # fmt: skip

reads("reads", "ValueError: a column is missing", fails(ValueError("a column is missing\nand a second line")))
reads("reads", "There is no file. (--no-data skips the data)", fails(SourceError("There is no file.")))
reads("reads", "read returns a NoneType, not a dict", lambda splits: None)
reads("reads", "the split 'more' is not declared (extra_tests)",
      lambda splits: {**splits, "more": [Example("a day", 0)]})  # fmt: skip
declares("reads", "the split 'late' is missing", extra_tests=("late",))
reads("reads", "the split 'test' is empty", lambda splits: {**splits, "test": []})
reads("reads", "the split 'test' is not a list", lambda splits: {**splits, "test": iter(splits["test"])})
changes("reads", "test[0] is a tuple, not an Example", tuple)

changes("texts", "the text must be a string, and is ('",
        lambda example: example._replace(text=tuple(example.text.split())))  # fmt: skip
changes("texts", "the text, or one of its words, is blank: ('', ",
        lambda example: example._replace(text=("", *example.text[1:])), base=Words)  # fmt: skip
declares("texts", "pair is None, and the task's pair is True", pair=True)


def labelled(error: str, label: Any, *also: str, base: type[Task] = _Changed) -> None:
    changes("labels-in-range", error, lambda example: example._replace(label=label(example)), *also, base=base)


labelled("the label 2 is none of the 2 that are declared", lambda example: example.label + 1)
labelled("the label must be an int, and is '", lambda example: ("Cold", "Warm")[example.label], "scores")
labelled("the label must be an int, and is False", lambda example: bool(example.label))
labelled("the label must be a finite float, and is nan", lambda example: float("nan"), "scores",
         base=Temperatures)  # fmt: skip
labelled("there are 1 labels for 4 words", lambda example: (0,), "scores", base=Words)
labelled("the label must be a tuple of ints, and is 0", lambda example: 0, "scores", base=Topics)
labelled("the label must have each index once, ascending, and is (1, 0)", lambda example: (1, 0), "scores", base=Topics)
labelled("the label 3 is none of the 3 that are declared", lambda example: (*example.label, 3), "scores", base=Topics)
reads("labels-in-range", "test has examples of label 2 (long), and train has none",
      lambda splits: {**splits, "train": [each for each in splits["train"] if 2 not in each.label]},
      base=Topics)  # fmt: skip
reads("labels-in-range", "test has examples of label 1 (warm), and train has none",
      lambda splits: {**splits, "train": [example for example in splits["train"] if not example.label]})  # fmt: skip

reads("splits-disjoint", "1 inputs are both in train and in test, such as ",
      lambda splits: {**splits, "train": [*splits["train"], Example(f" {splits['test'][0].text.upper()}", 0)]},
)  # fmt: skip
reads("splits-disjoint", "are both in validation and in test",
      lambda splits: {**splits, "validation": splits["test"]})  # fmt: skip


def tested(label: Any) -> Any:
    return lambda splits: {**splits, "test": [example._replace(label=label) for example in splits["test"]]}


reads("scores", "one answer to all of test is as good as the right ones", tested(1))
reads("scores", "the spearman of the right answers to test is undefined", tested(1.0), base=Temperatures)


# Another process has to find this by name.


@breaks("reads-alike", "another process reads the same files differently")
class OrderOfASet(Seasons):
    """The same in one process each time, and another in the next."""

    def read(self, path):
        return {name: list(set(found)) for name, found in super().read(path).items()}
