"""A real browser, one for all tests, and pages in it that take note of whatever should not happen."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import many
import pytest

from bench.records.record import Record
from bench.report import render

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run")  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield found
        found.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, list[Record]]]:
    """written(name): the report of `many.name()` on disk, and its records."""
    made: dict[str, tuple[Path, list[Record]]] = {}

    def write(name: str) -> tuple[Path, list[Record]]:
        if name not in made:
            records: list[Record] = getattr(many, name)()
            path = tmp_path_factory.mktemp("report") / f"{name}.html"
            path.write_text(render(records), encoding="utf-8", newline="")
            made[name] = path, records
        return made[name]

    return write


@dataclass
class Opened:
    """A page, the records behind it, and what a sound page never has: requests, errors, console messages."""

    page: Any
    records: list[Record]
    faults: list[str] = field(default_factory=list)


@pytest.fixture
def opened(browser: Any, written: Callable[[str], tuple[Path, list[Record]]]) -> Iterator[Callable[..., Opened]]:
    """opened(name, **context): the report in a new page. Any fault, whatever else is tested, fails the test."""
    pages: list[Opened] = []

    def open_page(name: str = "small", **context: Any) -> Opened:
        path, records = written(name)
        page = browser.new_context(accept_downloads=True, **context).new_page()
        found = Opened(page, records)
        pages.append(found)
        page.on("console", lambda message: found.faults.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: found.faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: found.faults.append("a dialog"))

        def asked(request: Any) -> None:
            if request.url.partition("#")[0] != path.as_uri() and not request.url.startswith(("blob:", "data:")):
                found.faults.append(f"request: {request.url}")

        page.on("request", asked)
        page.goto(path.as_uri())
        return found

    yield open_page
    for found in pages:
        found.page.context.close()
        assert found.faults == []
