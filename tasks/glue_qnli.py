"""glue-qnli: does a sentence answer a question? SQuAD as pairs, as in GLUE."""

from tasks import _glue


class GlueQnli(_glue.GlueTask):
    name = "glue-qnli"
    summary = "does a sentence hold the answer to a question (GLUE)"
    pair = True
    source = _glue.source("qnli")
    columns = ("question", "sentence")
    labels = ("entailment", "not_entailment")
    metric = "accuracy"
    held_out = 2000
    citation = f"Rajpurkar et al., EMNLP 2016; {_glue.CITATION}"
