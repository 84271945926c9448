"""glue-wnli: what does a pronoun refer to? Winograd schemas as pairs, as in GLUE.

Train and test share sentences under opposite labels, so what is learned from train, or chosen on a part of
it, misleads: a constant answer is hard to beat. Papers often leave this task out.
"""

from tasks._glue import GlueTask


class GlueWnli(GlueTask):
    name = "glue-wnli"
    summary = "what does a pronoun refer to (GLUE; small and adversarial)"
    pair = True
    columns = ("sentence1", "sentence2")
    labels = ("not_entailment", "entailment")
    metric = "accuracy"
    held_out = 70
    citation = "Levesque, Davis and Morgenstern, KR 2012"
