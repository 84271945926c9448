"""Where the time of a run went."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made import failed, record

from bench.runner import timeline

TRAIN = Path(timeline.__file__).parents[1] / "train"


def test_two_workers_by_hand() -> None:
    records = [
        record(timeline={"load model": 1.0, "train": 6.0, "test": 2.0, "untracked": 0.5, "total": 9.5}),
        record(seed=1, timeline={"train": 8.0, "batching": 1.0, "a new phase": 1.0, "total": 10.0}),
        failed(seed=2, timeline={"train": 0.5, "untracked": 0.5, "total": 1.0}),
        failed(seed=3),  # its worker died: nothing is known
    ]
    parts = timeline.parts(records, workers=2, seconds=28.0)
    assert parts == {
        "training": 15.0, "evaluation": 2.0, "loading": 1.0, "rest of cells": 1.5, "failed cells": 1.0,
        "outside cells": 35.5,
    }  # fmt: skip
    assert sum(parts.values()) == 2 * 28
    assert timeline.text(parts, 2, 28.0).startswith("28 s with 2 workers: training 26.8 %, evaluation 3.6 %")
    rows = timeline.rows(parts)
    assert rows[0] == {"part": "training", "worker_seconds": 15.0, "percent": 26.79}
    assert sum(row["percent"] for row in rows) == pytest.approx(100, abs=0.1)


def test_workers_that_joined_later_leave_nothing_outside() -> None:
    parts = timeline.parts([record(timeline={"train": 9.0, "total": 9.0})], workers=1, seconds=5.0)
    assert parts == {"training": 9.0}


def test_every_phase_of_a_cell_has_its_part() -> None:
    """All that a cell of the harness claims; what plugins cannot add to."""
    texts = [TRAIN.joinpath(name).read_text("utf-8") for name in ("cell.py", "loop.py")]
    claimed = {name for text in texts for name in re.findall(r'phase\("([^"]+)"\)', text)}
    assert claimed
    assert claimed == set(timeline.PARTS)
