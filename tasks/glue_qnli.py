"""glue-qnli: does a sentence answer a question? SQuAD as pairs, as in GLUE."""

from tasks._glue import GlueTask


class GlueQnli(GlueTask):
    name = "glue-qnli"
    summary = "does a sentence hold the answer to a question (GLUE)"
    pair = True
    columns = ("question", "sentence")
    labels = ("entailment", "not_entailment")
    metric = "accuracy"
    held_out = 2000
    citation = "Rajpurkar et al., EMNLP 2016"
