"""Records as one HTML page that needs nothing else: no network, no server, no file beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.records.record import Record
    from bench.stats.pscp import Pscp


def render(records: Iterable[Record], pscp: Pscp | None = None) -> str:
    """The report of these records as HTML; the same records in any order give the same text.

    Args:
        pscp: adds the cost-aware score with these constants.

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
    return filled(contents(kept, pscp))
