"""glue-rte: does one text entail another? RTE 1, 2, 3 and 5, as in GLUE."""

from tasks._glue import GlueTask


class GlueRte(GlueTask):
    name = "glue-rte"
    summary = "does one text entail another (GLUE)"
    pair = True
    columns = ("sentence1", "sentence2")
    labels = ("entailment", "not_entailment")
    metric = "accuracy"
    held_out = 250
    citation = "Dagan et al., 2005, to Bentivogli et al., 2009"
