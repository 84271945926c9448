"""`python -m bench` in the test's own process: what came of it, and how it is called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tiny_grid import TinyGrid

from bench import __main__


class Done(NamedTuple):
    code: int
    out: str
    err: str


Bench = Callable[..., Done]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """A function that takes the arguments of one call."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["/x/bench/__main__.py", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "300")
        monkeypatch.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit) as ended:
            __main__.main()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0 if code is None else 1, *capsys.readouterr())

    return call


def run_options(grid: TinyGrid, results: Path, **changed: object) -> list[object]:
    """The command line of a run that would work, with some options replaced; None leaves one out."""
    usual: dict[str, object] = {"suite": grid.suite, "profile": grid.profile, "results": results}
    chosen = {key: value for key, value in {**usual, **changed}.items() if value is not None}
    return ["run", *grid.plugins, *(part for key, value in chosen.items() for part in (f"--{key}", value))]
