"""glue-mrpc: do two sentences say the same? Microsoft Research Paraphrase Corpus, as in GLUE."""

from tasks._glue import GlueTask


class GlueMrpc(GlueTask):
    name = "glue-mrpc"
    summary = "do two news sentences paraphrase each other (GLUE)"
    pair = True
    columns = ("sentence1", "sentence2")
    labels = ("not_equivalent", "equivalent")
    metric = "f1_accuracy_mean"
    held_out = 400
    citation = "Dolan and Brockett, IWP 2005"
