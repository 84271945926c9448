"""conll2003: named entities in English news, the paper's sequence-labelling task."""

from pathlib import Path

from bench.plugins import Example, Splits, Task, official
from tasks._parquet import rows


class Conll2003(Task):
    name = "conll2003"
    summary = "named entities in English news (entity F1)"
    kind = "token-classification"
    source = "hub:datasets/eriktks/conll2003@refs/convert/parquet!/conll2003"
    labels = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
    metric = "entity_f1"
    max_length = 256
    citation = "Tjong Kim Sang and De Meulder, CoNLL 2003"

    def read(self, path: Path) -> Splits:
        train, validation, test = (
            [Example(tuple(row["tokens"]), tuple(row["ner_tags"])) for row in rows(path, split) if row["tokens"]]
            for split in ("train", "validation", "test")
        )
        # The official splits share short headlines and score lines; the test split keeps all of its own.
        return official(train, test, salt=self.name, validation=validation)
