"""glue-sst2: is a film-review sentence positive? Stanford Sentiment Treebank, as in GLUE."""

from tasks import _glue


class GlueSst2(_glue.GlueTask):
    name = "glue-sst2"
    summary = "is a film-review sentence positive (GLUE; trained on phrases)"
    source = _glue.source("sst2")
    columns = ("sentence",)
    labels = ("negative", "positive")
    metric = "accuracy"
    held_out = 1000
    citation = f"Socher et al., EMNLP 2013; {_glue.CITATION}"
