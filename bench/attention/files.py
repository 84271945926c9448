"""A study as files: tables and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.attention import plots
from bench.attention.study import Study
from bench.files import write_atomically
from bench.leaderboard.csv import frame, to_csv


def write(found: Study, folder: Path) -> list[Path]:
    """Write heads.csv, heads.png, sentence.csv and sentence.png.

    Raises:
        StoreError: if the folder cannot be written.
    """
    files = [folder / name for name in ("heads.csv", "heads.png", "sentence.csv", "sentence.png")]
    write_atomically(files[0], _csv(found.head_rows()))
    plots.draw_heads(found, files[1])
    write_atomically(files[2], _csv(found.sentence_rows()))
    plots.draw_sentence(found, files[3])
    return files


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    """Tokens are other people's text, so nothing of it starts like a formula."""
    return to_csv(frame(rows, list(rows[0])))
