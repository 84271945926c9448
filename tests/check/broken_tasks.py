"""Tasks that break one promise each, by the clause that has to catch them; see broken_methods."""

from typing import Any

from honest_plugins import Seasons

from bench.errors import SourceError
from bench.plugins.splits import shuffled
from bench.plugins.task import Example, Task

BROKEN: dict[str, dict[type[Task], str]] = {}
ALSO: dict[type[Task], set[str]] = {}


def breaks(clause: str, said: str, *also: str) -> Any:
    def note(plugin: type[Task]) -> type[Task]:
        plugin.name = plugin.__name__
        BROKEN.setdefault(clause, {})[plugin] = said
        ALSO[plugin] = set(also)
        return plugin

    return note


class _Changed(Seasons):
    """The seasons, with each example of each split passed through `change`."""

    def read(self, path):
        splits = super().read(path)
        return {name: [self.change(example) for example in found] for name, found in splits.items()}


class _Temperatures(_Changed):
    kind, metric, labels = "regression", "spearman", ()

    def change(self, example):
        return example._replace(label=len(example.text) + example.label / 2)


class _Words(_Changed):
    kind, metric, labels = "token-classification", "entity_f1", ("O", "B-month", "I-month")

    def change(self, example):
        words = tuple(example.text.split())
        return Example(words, tuple(int(word[0].isupper()) for word in words))


class Temperatures(_Temperatures):
    """Keeps the contract."""


class Words(_Words):
    """Keeps the contract."""


# labels


@breaks("labels", "labels must be a sequence of names, and is 'cw'")
class Letters(Seasons):
    labels = "cw"


@breaks("labels", "labels names 'cold' twice")
class Twice(Seasons):
    labels = ("cold", "cold", "warm")


@breaks("labels", "a regression has no labels, and these are named: cold, warm")
class LabelledNumbers(_Temperatures):
    labels = ("cold", "warm")


@breaks("labels", "there are at least two labels to choose from", "labels-in-range")
class OneLabel(Seasons):
    labels = ("cold",)


@breaks("labels", "the label 'month' is none of O, B-..., I-...")
class NoBio(_Words):
    labels = ("O", "B-month", "month")


@breaks("labels", "the label 'I-year' goes on with what no label begins")
class NoBeginning(_Words):
    labels = ("O", "B-month", "I-year")


@breaks("labels", "token classification reads one text, and pair is True", "texts")
class PairOfWords(_Words):
    pair = True


# metric


@breaks("metric", "'spearman' does not score classification; these do: accuracy, ", "scores")
class RankedClasses(Seasons):
    metric = "spearman"


@breaks("metric", "ValueError: Target is multiclass but average='binary'", "scores")
class ThreeClassesByF1(Seasons):
    metric = "f1"
    labels = ("cold", "warm", "hot")

    def read(self, path):
        splits = super().read(path)
        extra = [Example(f"{name} of a hot day", 2) for name in splits]
        return {name: [*found, extra[at]] for at, (name, found) in enumerate(splits.items())}


# max-length, citation, source


@breaks("max-length", "max_length must be a whole number of at least 8, and is 128.0")
class FloatLength(Seasons):
    max_length = 128.0


@breaks("max-length", "and is 4")
class TooShort(Seasons):
    max_length = 4


@breaks("citation", "citation must say whose data it is, and is ''")
class Nobodys(Seasons):
    citation = ""


@breaks("source", "'hub:datasets/a/b' is malformed; write hub:OWNER/NAME@REVISION")
class Unpinned(Seasons):
    source = "hub:datasets/a/b"


# reads


@breaks("reads", "ValueError: a column is missing")
class Fails(Seasons):
    def read(self, path):
        raise ValueError("a column is missing\nand a second line")


@breaks("reads", "There is no file. (--no-data leaves the data out)")
class FindsNothing(Seasons):
    def read(self, path):
        raise SourceError("There is no file.")


@breaks("reads", "read returns a NoneType, and not a dict")
class ForgetsToReturn(Seasons):
    def read(self, path):
        super().read(path)


@breaks("reads", "the split 'validation' is missing")
class WithoutValidation(Seasons):
    def read(self, path):
        splits = super().read(path)
        del splits["validation"]
        return splits


@breaks("reads", "the split 'more' is not declared (extra_tests)")
class MoreThanDeclared(Seasons):
    def read(self, path):
        return {**super().read(path), "more": [Example("a day", 0)]}


@breaks("reads", "the split 'late' is missing")
class LessThanDeclared(Seasons):
    extra_tests = ("late",)


@breaks("reads", "the split 'test' is empty")
class EmptyTest(Seasons):
    def read(self, path):
        return {**super().read(path), "test": []}


@breaks("reads", "the split 'test' is not a list")
class LazyTest(Seasons):
    def read(self, path):
        splits = super().read(path)
        return {**splits, "test": iter(splits["test"])}


@breaks("reads", "test[0] is a tuple, and not an Example")
class PlainTuples(_Changed):
    def change(self, example):
        return tuple(example)


# texts


@breaks("texts", "the text must be a string, and is ('")
class WordsOfASentence(_Changed):
    def change(self, example):
        return example._replace(text=tuple(example.text.split()))


@breaks("texts", "the text must be a tuple of words, and is 'a", "labels-in-range", "scores")
class SentenceOfWords(_Words):
    def change(self, example):
        return example


@breaks("texts", "the text is blank, or one of its words: ' '")
class BlankText(_Changed):
    def change(self, example):
        return example._replace(text=" ") if example.text == "a night in June" else example


@breaks("texts", "the text is blank, or one of its words: ('', ")
class BlankWord(_Words):
    def change(self, example):
        return super().change(example)._replace(text=("", *example.text.split()[1:]))


@breaks("texts", "pair is None, and the task's pair is True")
class LacksASecond(Seasons):
    pair = True


@breaks("texts", "pair is 'or not', and the task's pair is False")
class SecondUnasked(_Changed):
    def change(self, example):
        return example._replace(pair="or not")


# labels-in-range


@breaks("labels-in-range", "the label 2 is none of the 2 that are declared")
class CountsFromOne(_Changed):
    def change(self, example):
        return example._replace(label=example.label + 1)


@breaks("labels-in-range", "the label must be an int, and is 'warm'")
class NamesAsLabels(_Changed):
    def change(self, example):
        return example._replace(label=self.labels[example.label])


@breaks("labels-in-range", "the label must be an int, and is True")
class Booleans(_Changed):
    def change(self, example):
        return example._replace(label=bool(example.label))


@breaks("labels-in-range", "the label must be a finite float, and is nan", "scores")
class MissingNumbers(_Temperatures):
    def change(self, example):
        return example._replace(label=float("nan"))


@breaks("labels-in-range", "the label must be a finite float, and is ")
class WholeNumbers(_Temperatures):
    def change(self, example):
        return example._replace(label=len(example.text))


@breaks("labels-in-range", "there are 1 labels for 4 words", "scores")
class OneLabelForAll(_Words):
    def change(self, example):
        return super().change(example)._replace(label=(0,))


@breaks("labels-in-range", "the label must be a tuple of ints, and is [0, 0, 0, 1]")
class ListOfLabels(_Words):
    def change(self, example):
        found = super().change(example)
        return found._replace(label=list(found.label))


@breaks("labels-in-range", "train has no example of label 1 (warm), which test asks for")
class NeverShown(Seasons):
    def read(self, path):
        splits = super().read(path)
        return {**splits, "train": [example for example in splits["train"] if not example.label]}


# splits-disjoint


@breaks("splits-disjoint", "1 inputs stand in train and in test, such as ")
class Leaks(Seasons):
    def read(self, path):
        splits = super().read(path)
        leaked = splits["test"][0]
        return {**splits, "train": [*splits["train"], leaked._replace(text=f"{leaked.text.upper()}!")]}


@breaks("splits-disjoint", "stand in validation and in test")
class ChoosesOnTheTest(Seasons):
    def read(self, path):
        splits = super().read(path)
        return {**splits, "validation": splits["test"]}


# scores


@breaks("scores", "one answer to all of test is as good as the right ones")
class OneSidedTest(Seasons):
    def read(self, path):
        splits = super().read(path)
        return {**splits, "test": [example._replace(label=1) for example in splits["test"]]}


@breaks("scores", "the spearman of right answers to test is not defined")
class ConstantTest(_Temperatures):
    def read(self, path):
        splits = super().read(path)
        return {**splits, "test": [example._replace(label=1.0) for example in splits["test"]]}


# reads-alike


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
