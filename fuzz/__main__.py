"""`python -m fuzz TARGET --seconds 600`: look for inputs that break a target, guided by coverage.

It ends with 0 where nothing was found. A finding ends it with a traceback and leaves the input in a file
`crash-...`, which `python -m fuzz TARGET FILE` tries again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

INSTRUMENTED = ["bench", "methods", "tasks", "fuzz", "tomllib", "tarfile", "zipfile"]


def main() -> None:
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("files", nargs="*", type=Path, help="try these inputs and nothing else")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-corpus"), help="a folder that keeps what was found")
    asked = parser.parse_args()
    if asked.files:
        for file in asked.files:
            print(f"{file}: {'accepted' if TARGETS[asked.target].run(file.read_bytes()) else 'refused'}")
        return
    search(asked.target, asked.seconds, asked.corpus)


def search(name: str, seconds: int, folder: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    for module in [module for module in sys.modules if module.split(".")[0] in INSTRUMENTED]:
        del sys.modules[module]  # to be imported anew, with what tells which lines an input reaches
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz.targets import TARGETS

        target = TARGETS[name]
        for at, seed in enumerate(target.seeds()):
            (corpus / f"seed-{at}").write_bytes(seed)
            target.run(seed)  # imports what it needs before the clock runs

    def one(data: bytes) -> None:
        target.run(data)

    # Taking longer than 20 s or more than 4 GiB is a finding too.
    limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4096", "-max_len=65536"]
    atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
