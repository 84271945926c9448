"""Ten thousand records of the usual size are loaded into memory, without an index: what one of them takes."""

from __future__ import annotations

import tracemalloc
from itertools import islice
from pathlib import Path

from large_grid import grid, write

from bench.records.store import Store

COUNT = 200


def test_ten_thousand_records_take_less_than_a_third_of_a_gigabyte(tmp_path: Path) -> None:
    size = write(tmp_path, list(islice(grid(), COUNT)))
    assert size / COUNT > 15_000
    tracemalloc.start()
    try:
        records, faults = Store(tmp_path).all()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(records), faults) == (COUNT, [])
    assert taken / COUNT * 10_000 < 330e6
