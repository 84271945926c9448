"""Copies of this project with one line made wrong, as a pull request may make it: what `compare` must find.

python tests/compare/builds.py BUILD FOLDER      writes the copy, for trying it by hand
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("bench", "methods", "tasks", "suites")

# What is replaced by what, in which file. Each line must stand there exactly once, or the patch is out of date.
BUILDS = {
    "nothing changed": None,
    "vectors not added": (
        "methods/pasta/attachment.py",
        "return hidden.index_put((rows, self._positions), self._drop(vectors), accumulate=True)",
        "return hidden",
    ),
    "learning rate zero": (
        "bench/train/loop.py",
        "rate = (recipe.head_learning_rate if is_head else None) or recipe.learning_rate",
        "rate = 0.0",
    ),
    "loop 30 % slower": (
        "bench/train/loop.py",
        "            losses.append(update(state, batch, data.kind, placement, cached))\n",
        "            _started = time.perf_counter()\n"
        "            losses.append(update(state, batch, data.kind, placement, cached))\n"
        "            time.sleep(0.3 * (time.perf_counter() - _started))\n",
    ),
}


def build(name: str, folder: Path) -> Path:
    """Write the copy with that fault, and give the folder to run `python -m bench` in."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    patch = BUILDS[name]
    if patch is not None:
        file, old, new = patch
        source = (folder / file).read_text(encoding="utf-8")
        if source.count(old) != 1:
            raise ValueError(f"{file} does not hold the line that {name!r} replaces exactly once")
        (folder / file).write_text(source.replace(old, new), encoding="utf-8")
    return folder


if __name__ == "__main__":
    print(build(sys.argv[1], Path(sys.argv[2])))
