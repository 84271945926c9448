"""rt-intensity: how positive is a film-review sentence, from -4 to 4?"""

from pathlib import Path

from bench.plugins import Example, Splits, Task, cut
from tasks import _movie_reviews


class RtIntensity(Task):
    name = "rt-intensity"
    summary = "how positive is a film-review sentence (20 people's mean rating, -4 to 4)"
    kind = "regression"
    source = _movie_reviews.SOURCE
    metric = "spearman"
    citation = _movie_reviews.CITATION

    def read(self, path: Path) -> Splits:
        examples = (Example(row.text, row.rating) for row in _movie_reviews.read(path))
        return cut(examples, salt=self.name, validation=1066, test=1500)
