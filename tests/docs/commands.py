"""The commands and the Python of this project's Markdown files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "results" / "README.md")
    if path.name != "CHANGELOG.md"
)  # fmt: skip


def bench_commands(page: Path, module: str = "bench") -> list[list[str]]:
    """The arguments of every `python -m bench` (or of another module) of a page: in code blocks, and within a text."""
    call_of = re.compile(rf"(?:\.venv/bin/)?python -m {module}\b(?P<rest>.*)")
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        inline = re.findall(rf"`python -m {module} ([^`]*)`", line)
        call = call_of.search(line) if _is_code(line) else None
        rests = inline if inline else [call["rest"]] if call else []
        found += [shlex.split(_without_remark(rest), comments=True) for rest in rests]
    return [arguments for arguments in found if arguments]


def python_blocks(page: Path) -> list[str]:
    return blocks(page, "python")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def _is_code(line: str) -> bool:
    """Whether a line with a command is one of a block: indented, or, in a fence, with nothing before the command."""
    return line.startswith("    ") or line.startswith(("python", "$ "))


def _without_remark(rest: str) -> str:
    """A command's arguments without what stands beside it, two or more blanks away."""
    return re.split(r"\s{2,}", rest.strip())[0]
