"""glue-qqp: do two questions ask the same? Quora Question Pairs, as in GLUE."""

from tasks._glue import GlueTask


class GlueQqp(GlueTask):
    name = "glue-qqp"
    summary = "do two questions of Quora ask the same (GLUE)"
    pair = True
    columns = ("question1", "question2")
    labels = ("not_duplicate", "duplicate")
    metric = "f1_accuracy_mean"
    held_out = 4000
    citation = "Iyer, Dandekar and Csernai, Quora 2017"
