"""What to say of a wrong name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: str, known: Iterable[str], more: Iterable[str] = ()) -> str:
    """The end of a sentence about a wrong name: the nearest right one, and all that are known.

    more: names that may be the nearest too, but are too many to list.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, [*known, *more], n=1, cutoff=0.5)
    did_you_mean = f"; did you mean {near[0]!r}?" if near else "."
    return f"{did_you_mean} There are: {', '.join(known) or 'none'}."
