"""glue-qqp: do two questions ask the same? Quora Question Pairs, as in GLUE."""

from tasks import _glue


class GlueQqp(_glue.GlueTask):
    name = "glue-qqp"
    summary = "do two questions of Quora ask the same (GLUE)"
    pair = True
    source = _glue.source("qqp")
    columns = ("question1", "question2")
    labels = ("not_duplicate", "duplicate")
    metric = "f1_accuracy_mean"
    held_out = 4000
    citation = f"Iyer, Dandekar and Csernai, Quora 2017; {_glue.CITATION}"
