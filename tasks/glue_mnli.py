"""glue-mnli: does a premise entail a hypothesis, contradict it, or neither? MultiNLI, as in GLUE."""

from tasks._glue import GlueTask


class GlueMnli(GlueTask):
    name = "glue-mnli"
    summary = "does a premise entail a hypothesis (GLUE); test: genres of train, mismatched: others"
    pair = True
    columns = ("premise", "hypothesis")
    labels = ("entailment", "neutral", "contradiction")
    metric = "accuracy"
    held_out = 4000
    test_split = "validation_matched"
    extra_tests = ("mismatched",)
    citation = "Williams, Nangia and Bowman, NAACL 2018"
