"""glue-mrpc: do two sentences say the same? Microsoft Research Paraphrase Corpus, as in GLUE."""

from pathlib import Path

from bench.splits import official
from bench.task import Example, Splits, Task
from tasks import _parquet


class GlueMrpc(Task):
    name = "glue-mrpc"
    summary = "do two news sentences paraphrase each other (GLUE)"
    kind = "classification"
    pair = True
    source = "hub:datasets/nyu-mll/glue@bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c!/mrpc"
    labels = ("not_equivalent", "equivalent")
    metric = "f1"
    citation = "Dolan and Brockett, IWP 2005; Wang et al., GLUE, ICLR 2019"

    def read(self, path: Path) -> Splits:
        # The GLUE rule for every task: report on the official validation split, choose on a part of train.
        train, test = (
            [Example(row["sentence1"], int(row["label"]), row["sentence2"]) for row in _parquet.rows(path, split)]
            for split in ("train", "validation")
        )
        return official(train, test, salt=self.name, validation=400)
