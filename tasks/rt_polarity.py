"""rt-polarity: is a film-review sentence positive?"""

from pathlib import Path

from bench.plugins import Example, Splits, Task, cut
from tasks import _movie_reviews


class RtPolarity(Task):
    name = "rt-polarity"
    summary = "is a film-review sentence positive or negative (the sign of 20 people's mean rating)"
    kind = "classification"
    source = _movie_reviews.SOURCE
    labels = ("negative", "positive")
    metric = "accuracy"
    citation = _movie_reviews.CITATION

    def read(self, path: Path) -> Splits:
        # A mean of exactly zero (37 sentences) has no polarity and is left out.
        rated = (row for row in _movie_reviews.read(path) if row.rating != 0)
        examples = (Example(row.text, int(row.rating > 0)) for row in rated)
        return cut(examples, salt=self.name, validation=1066, test=1500)
