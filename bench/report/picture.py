"""A picture of a board for a Markdown file: the mean score over tasks against the trainable share, as SVG."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from bench.leaderboard.rows import current
from bench.records.record import Record
from bench.report.charts import COSTS, scatter
from bench.report.contents import contents
from bench.report.formatting import SHAPES
from bench.report.templates import environment, file, in_light_colours

SIZE = (860.0, 380.0)


def picture(records: Iterable[Record]) -> str | None:
    """The drawing of the first board of these records; the same records in any order give the same text.

    None if no method has a score on every task and a known share.
    """
    ordered = sorted(current(records), key=lambda record: record.id)
    if not ordered:
        return None
    found = contents(ordered)
    answer, scores = found.answers[0], found.answers[0].scores
    chart = scatter(scores, COSTS[0], found.styles, SIZE) if scores is not None else None
    if scores is None or chart is None:
        return None
    drawn = (
        environment()
        .get_template("picture.svg.j2")
        .render(
            chart=chart,
            title=f"{chart.titles[1]} {scores.of} against trainable share: {answer.title}",
            shapes=SHAPES,
            style=Markup(file("charts.css")),
        )
    )
    return in_light_colours(drawn)
