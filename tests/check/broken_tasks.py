"""Tasks that violate one requirement each, by the check that has to find it; see broken_methods."""

from typing import Any

from honest_plugins import Seasons

from bench.errors import SourceError
from bench.plugins import Example, Task
from bench.plugins.splits import shuffled

BROKEN: dict[str, dict[type[Task], str]] = {}
ALSO: dict[type[Task], set[str]] = {}


def breaks(check: str, error: str, *also: str) -> Any:
    def note(plugin: type[Task]) -> type[Task]:
        plugin.name = plugin.__name__
        BROKEN.setdefault(check, {})[plugin] = error
        ALSO[plugin] = set(also)
        return plugin

    return note


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


class Words(_Changed):
    """Keeps the contract."""

    kind, metric, labels = "token-classification", "entity_f1", ("O", "B-month", "I-month")

    def change(self, example):
        words = tuple(example.text.split())
        return Example(words, tuple(int(word[0].isupper()) for word in words))


def declares(check: str, error: str, name: str, *also: str, base: type[Task] = Seasons, **fields: Any) -> None:
    """A task that declares something else."""
    breaks(check, error, *also)(type(name, (base,), fields))


def reads(check: str, error: str, name: str, splits: Any, *also: str, base: type[Task] = Seasons, **more: Any) -> None:
    """A task that reads something else: what `splits` makes of the base's splits."""
    breaks(check, error, *also)(type(name, (base,), {"read": lambda self, path: splits(base.read(self, path)), **more}))


def changes(check: str, error: str, name: str, change: Any, *also: str, base: type[Task] = _Changed) -> None:
    """A task each of whose examples is something else."""
    breaks(check, error, *also)(
        type(name, (base,), {"change": lambda self, example: change(base.change(self, example))})
    )


def fails(error: Exception) -> Any:
    def splits(found: Any) -> Any:
        raise error

    return splits


declares("labels", "labels must be a sequence of names, and is 'cw'", "Letters", labels="cw")
declares("labels", "labels names 'cold' twice", "Twice", labels=("cold", "cold", "warm"))
declares("labels", "a regression has no labels, and these are named: cold, warm", "LabelledNumbers",
         base=Temperatures, labels=("cold", "warm"))  # fmt: skip
declares("labels", "there must be at least two labels", "OneLabel", "labels-in-range", labels=("cold",))
declares("labels", "the label 'month' is none of O, B-..., I-...", "NoBio", base=Words,
         labels=("O", "B-month", "month"))  # fmt: skip
declares("labels", "the label 'I-year' continues an entity that no label begins", "NoBeginning", base=Words,
         labels=("O", "B-month", "I-year"))  # fmt: skip
declares("labels", "token classification reads one text, and pair is True", "PairOfWords", "texts", base=Words,
         pair=True)  # fmt: skip

declares("metric", "'spearman' does not score classification; these do: accuracy, ", "RankedClasses", "scores",
         metric="spearman")  # fmt: skip
reads(
    "metric", "ValueError: Target is multiclass but average='binary'", "ThreeClassesByF1",
    lambda splits: {name: [*found, Example(f"{name} of a hot day", 2)] for name, found in splits.items()},
    "scores", metric="f1", labels=("cold", "warm", "hot"),
)  # fmt: skip

declares("max-length", "max_length must be a whole number of at least 8, and is 128.0", "FloatLength", max_length=128.0)
declares("max-length", "and is 4", "TooShort", max_length=4)
declares("citation", "citation must say whose data it is, and is ''", "Anonymous", citation="")
declares("source", "'hub:datasets/a/b' is malformed; write hub:OWNER/NAME@REVISION", "Unpinned",
         source="hub:datasets/a/b")  # fmt: skip

reads("reads", "ValueError: a column is missing", "Fails", fails(ValueError("a column is missing\nand a second line")))
reads("reads", "There is no file. (--no-data skips the data)", "NoFile", fails(SourceError("There is no file.")))
reads("reads", "read returns a NoneType, not a dict", "ForgetsToReturn", lambda splits: None)
reads("reads", "the split 'validation' is missing", "WithoutValidation",
      lambda splits: {name: found for name, found in splits.items() if name != "validation"})  # fmt: skip
reads("reads", "the split 'more' is not declared (extra_tests)", "MoreThanDeclared",
      lambda splits: {**splits, "more": [Example("a day", 0)]})  # fmt: skip
declares("reads", "the split 'late' is missing", "LessThanDeclared", extra_tests=("late",))
reads("reads", "the split 'test' is empty", "EmptyTest", lambda splits: {**splits, "test": []})
reads("reads", "the split 'test' is not a list", "LazyTest", lambda splits: {**splits, "test": iter(splits["test"])})
changes("reads", "test[0] is a tuple, not an Example", "PlainTuples", tuple)

changes("texts", "the text must be a string, and is ('", "WordsOfASentence",
        lambda example: example._replace(text=tuple(example.text.split())))  # fmt: skip
changes("texts", "the text must be a tuple of words, and is 'a", "SentenceOfWords",
        lambda example: Example(" ".join(example.text), 0), "labels-in-range", "scores", base=Words)  # fmt: skip
changes("texts", "the text, or one of its words, is blank: ' '", "BlankText",
        lambda example: example._replace(text=" ") if example.text == "a night in June" else example)  # fmt: skip
changes("texts", "the text, or one of its words, is blank: ('', ", "BlankWord",
        lambda example: example._replace(text=("", *example.text[1:])), base=Words)  # fmt: skip
declares("texts", "pair is None, and the task's pair is True", "LacksASecond", pair=True)
changes("texts", "pair is 'or not', and the task's pair is False", "SecondUnasked",
        lambda example: example._replace(pair="or not"))  # fmt: skip


def labelled(error: str, name: str, label: Any, *also: str, base: type[Task] = _Changed) -> None:
    changes("labels-in-range", error, name, lambda example: example._replace(label=label(example)), *also, base=base)


labelled("the label 2 is none of the 2 that are declared", "CountsFromOne", lambda example: example.label + 1)
labelled("the label must be an int, and is '", "Names", lambda example: ("cold", "warm")[example.label], "scores")
labelled("the label must be an int, and is True", "Booleans", lambda example: bool(example.label))
labelled("the label must be a finite float, and is nan", "Missing", lambda example: float("nan"), "scores",
         base=Temperatures)  # fmt: skip
labelled("the label must be a finite float, and is ", "Whole", lambda example: len(example.text), base=Temperatures)
labelled("there are 1 labels for 4 words", "OneLabelForAll", lambda example: (0,), "scores", base=Words)
labelled("the label must be a tuple of ints, and is [0, 0, 0, 1]", "ListOfLabels", lambda example: list(example.label),
         base=Words)  # fmt: skip
reads("labels-in-range", "test has examples of label 1 (warm), and train has none", "NeverShown",
      lambda splits: {**splits, "train": [example for example in splits["train"] if not example.label]})  # fmt: skip

reads("splits-disjoint", "1 inputs are both in train and in test, such as ", "Leaks",
      lambda splits: {**splits, "train": [*splits["train"], Example(f"{splits['test'][0].text.upper()}!", 0)]},
)  # fmt: skip
reads("splits-disjoint", "are both in validation and in test", "ChoosesOnTheTest",
      lambda splits: {**splits, "validation": splits["test"]})  # fmt: skip


def tested(label: Any) -> Any:
    return lambda splits: {**splits, "test": [example._replace(label=label) for example in splits["test"]]}


reads("scores", "one answer to all of test is as good as the right ones", "OneSidedTest", tested(1))
reads("scores", "the spearman of the right answers to test is undefined", "Constant", tested(1.0), base=Temperatures)


# Another process has to find these by name.


@breaks("reads-alike", "another process reads the same files differently")
class OrderOfASet(Seasons):
    """The same in one process each time, and another in the next."""

    def read(self, path):
        return {name: list(set(found)) for name, found in super().read(path).items()}


@breaks("reads-alike", "another process reads the same files differently")
class SaltedHash(Seasons):
    def read(self, path):
        found = super().read(path)
        return {**found, "train": shuffled(found["train"], lambda example: example.text, str(hash("salt")))}
