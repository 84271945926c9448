"""glue-cola: is a sentence good English? Corpus of Linguistic Acceptability, as in GLUE."""

from tasks._glue import GlueTask


class GlueCola(GlueTask):
    name = "glue-cola"
    summary = "is a sentence grammatical English (GLUE)"
    columns = ("sentence",)
    labels = ("unacceptable", "acceptable")
    metric = "matthews"
    held_out = 1000
    citation = "Warstadt, Singh and Bowman, TACL 2019"
