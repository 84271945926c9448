"""What a worker does before its first cell, so that no cell pays for it."""

from __future__ import annotations

from importlib import import_module

# Not only these but what they import: an encoder's own module is small beside what all of them share.
NEEDED = (
    "torch.utils.flop_counter",
    "transformers.modeling_utils",
    "peft",
    "datasets",
    "sklearn.metrics",
    "seqeval.metrics",
    "bench.train.cell",
    "bench.train.loop",
)


def warm_up() -> None:
    """Import what every cell needs, seconds' worth of it, and keep it out of garbage collections.

    The executor's setup: a worker says that it is ready after this.
    """
    for name in NEEDED:
        import_module(name)
    from bench.measure import environment
    from bench.measure.memory import settle
    from bench.train.model import quiet_libraries

    quiet_libraries()
    environment.snapshot()  # asks git, once in a process
    settle()
