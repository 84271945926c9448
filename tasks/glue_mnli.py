"""glue-mnli: does a premise entail a hypothesis, contradict it, or neither? MultiNLI, as in GLUE."""

from tasks import _glue


class GlueMnli(_glue.GlueTask):
    name = "glue-mnli"
    summary = "does a premise entail a hypothesis (GLUE); test: genres of train, mismatched: others"
    pair = True
    source = _glue.source("mnli")
    columns = ("premise", "hypothesis")
    labels = ("entailment", "neutral", "contradiction")
    metric = "accuracy"
    held_out = 4000
    test_split = "validation_matched"
    extra_tests = ("mismatched",)
    citation = f"Williams, Nangia and Bowman, NAACL 2018; {_glue.CITATION}"
