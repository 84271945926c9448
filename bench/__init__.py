"""A benchmarking harness for parameter-efficient tuning, with PASTA at its centre.

For notebooks: `bench.run(...)` runs a grid and `bench.load("results/...")` reads one;
`bench.load_adapter(folder)` gives a tuned model back; see bench.api.
"""

from typing import TYPE_CHECKING, Any

from bench.version import __version__

if TYPE_CHECKING:
    from bench.api import Results, load, load_adapter, run

__all__ = ["Results", "__version__", "load", "load_adapter", "run"]


def __getattr__(name: str) -> Any:
    # Looked up when asked for: the command line imports this package at each start.
    if name in ("Results", "load", "load_adapter", "run"):
        from bench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
