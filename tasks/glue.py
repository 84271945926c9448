"""The nine tasks of GLUE; they differ in columns, labels and metric only.

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


class _Glue(Task):
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


class GlueCola(_Glue):
    name = "glue-cola"
    summary = "is a sentence grammatical English (GLUE)"
    columns = ("sentence",)
    labels = ("unacceptable", "acceptable")
    metric = "matthews"
    held_out = 1000
    citation = "Warstadt, Singh and Bowman, TACL 2019"


class GlueSst2(_Glue):
    name = "glue-sst2"
    summary = "is a film-review sentence positive (GLUE; trained on phrases)"
    columns = ("sentence",)
    labels = ("negative", "positive")
    metric = "accuracy"
    held_out = 1000
    citation = "Socher et al., EMNLP 2013"


class GlueMrpc(_Glue):
    name = "glue-mrpc"
    summary = "do two news sentences paraphrase each other (GLUE)"
    pair = True
    columns = ("sentence1", "sentence2")
    labels = ("not_equivalent", "equivalent")
    metric = "f1_accuracy_mean"
    held_out = 400
    citation = "Dolan and Brockett, IWP 2005"


class GlueQqp(_Glue):
    name = "glue-qqp"
    summary = "do two questions of Quora ask the same (GLUE)"
    pair = True
    columns = ("question1", "question2")
    labels = ("not_duplicate", "duplicate")
    metric = "f1_accuracy_mean"
    held_out = 4000
    citation = "Iyer, Dandekar and Csernai, Quora 2017"


class GlueStsb(_Glue):
    name = "glue-stsb"
    summary = "how alike are two sentences, from 0 to 5 (GLUE)"
    kind = "regression"
    pair = True
    columns = ("sentence1", "sentence2")
    metric = "pearson_spearman_mean"
    held_out = 500
    citation = "Cer et al., SemEval 2017"


class GlueMnli(_Glue):
    name = "glue-mnli"
    summary = "does a premise entail a hypothesis (GLUE); test: genres of train, mismatched: others"
    pair = True
    columns = ("premise", "hypothesis")
    labels = ("entailment", "neutral", "contradiction")
    metric = "accuracy"
    held_out = 4000
    test_split = "validation_matched"
    extra_tests = ("mismatched",)
    citation = "Williams, Nangia and Bowman, NAACL 2018"


class GlueQnli(_Glue):
    name = "glue-qnli"
    summary = "does a sentence hold the answer to a question (GLUE)"
    pair = True
    columns = ("question", "sentence")
    labels = ("entailment", "not_entailment")
    metric = "accuracy"
    held_out = 2000
    citation = "Rajpurkar et al., EMNLP 2016"


class GlueRte(_Glue):
    name = "glue-rte"
    summary = "does one text entail another (GLUE)"
    pair = True
    columns = ("sentence1", "sentence2")
    labels = ("entailment", "not_entailment")
    metric = "accuracy"
    held_out = 250
    citation = "Dagan et al., 2005, to Bentivogli et al., 2009"


class GlueWnli(_Glue):
    """Train and test share sentences under opposite labels, so what is learned from train misleads.

    A constant answer is hard to beat, and papers often leave this task out.
    """

    name = "glue-wnli"
    summary = "what does a pronoun refer to (GLUE; small and adversarial)"
    pair = True
    columns = ("sentence1", "sentence2")
    labels = ("not_entailment", "entailment")
    metric = "accuracy"
    held_out = 70
    citation = "Levesque, Davis and Morgenstern, KR 2012"
