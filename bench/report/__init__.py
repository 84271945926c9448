"""Records as one HTML page that needs nothing else: no network, no server, no file beside it."""

from __future__ import annotations

from collections.abc import Iterable

from bench.record import Record


def render(records: Iterable[Record]) -> str:
    """The report of these records as HTML; the same records in any order give the same text.

    Raises:
        UsageError: if there are no records.
    """
    from bench.errors import UsageError
    from bench.leaderboard import current
    from bench.report.page import filled
    from bench.report.sections import contents

    kept = sorted(current(records), key=lambda record: (record.cell.label, record.cell.seed, record.id))
    if not kept:
        raise UsageError("There are no records to report on.")
    return filled(contents(kept))
