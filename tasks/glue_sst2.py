"""glue-sst2: is a film-review sentence positive? Stanford Sentiment Treebank, as in GLUE."""

from tasks._glue import GlueTask


class GlueSst2(GlueTask):
    name = "glue-sst2"
    summary = "is a film-review sentence positive (GLUE; trained on phrases)"
    columns = ("sentence",)
    labels = ("negative", "positive")
    metric = "accuracy"
    held_out = 1000
    citation = "Socher et al., EMNLP 2013"
