"""glue-mrpc: do two sentences say the same? Microsoft Research Paraphrase Corpus, as in GLUE."""

from tasks import _glue


class GlueMrpc(_glue.GlueTask):
    name = "glue-mrpc"
    summary = "do two news sentences paraphrase each other (GLUE)"
    pair = True
    source = _glue.source("mrpc")
    columns = ("sentence1", "sentence2")
    labels = ("not_equivalent", "equivalent")
    metric = "f1_accuracy_mean"
    held_out = 400
    citation = f"Dolan and Brockett, IWP 2005; {_glue.CITATION}"
