"""glue-stsb: how alike are two sentences, from 0 to 5? Semantic Textual Similarity Benchmark, as in GLUE."""

from tasks._glue import GlueTask


class GlueStsb(GlueTask):
    name = "glue-stsb"
    summary = "how alike are two sentences, from 0 to 5 (GLUE)"
    kind = "regression"
    pair = True
    columns = ("sentence1", "sentence2")
    metric = "pearson_spearman_mean"
    held_out = 500
    citation = "Cer et al., SemEval 2017"
