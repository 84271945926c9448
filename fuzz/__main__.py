"""`python -m fuzz TARGET --seconds 600`: look for inputs that break a target, guided by coverage.

It ends with 0 where nothing was found. A finding ends it with a traceback and leaves the input in a file
`crash-...`, which `python -m fuzz TARGET FILE` tries again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> None:
    import atheris

    with atheris.instrument_imports(
        include=["bench", "methods", "tasks", "fuzz", "tomllib", "tarfile", "zipfile", "csv"]
    ):
        from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("files", nargs="*", type=Path, help="try these inputs and nothing else")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument(
        "--corpus", type=Path, default=Path("fuzz-corpus"), help="a folder; inputs found are kept there"
    )
    asked = parser.parse_args()
    target = TARGETS[asked.target]
    if asked.files:
        for file in asked.files:
            print(f"{file}: {'accepted' if target.run(file.read_bytes()) else 'refused'}")
        return
    corpus = asked.corpus / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    for at, seed in enumerate(target.seeds()):
        (corpus / f"seed-{at}").write_bytes(seed)
        target.run(seed)  # imports what it needs before the clock runs
    # A unit that takes longer than 20 s or 4 GiB is a finding too: nobody should wait for a file.
    limits = [f"-max_total_time={asked.seconds}", "-timeout=20", "-rss_limit_mb=4096", "-max_len=65536"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], lambda data: None if target.run(data) in (True, False) else None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
