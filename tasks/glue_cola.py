"""glue-cola: is a sentence good English? Corpus of Linguistic Acceptability, as in GLUE."""

from tasks import _glue


class GlueCola(_glue.GlueTask):
    name = "glue-cola"
    summary = "is a sentence grammatical English (GLUE)"
    source = _glue.source("cola")
    columns = ("sentence",)
    labels = ("unacceptable", "acceptable")
    metric = "matthews"
    held_out = 1000
    citation = f"Warstadt, Singh and Bowman, TACL 2019; {_glue.CITATION}"
