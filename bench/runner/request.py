"""What is asked for: a grid, and where and how it is to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench import profiles
from bench.errors import UsageError
from bench.grid import suites
from bench.grid.suites import Suite
from bench.plugins.specs import Spec, parse_all, split_list
from bench.suggestions import suggest

EXECUTORS = LOCAL, RAY = "local", "ray"


@dataclass(frozen=True)
class Request:
    """What the user asked for. None: as the suite says."""

    suite: Suite
    methods: Sequence[Spec]
    tasks: Sequence[str]
    seeds: Sequence[int]
    model: str
    profile: str = profiles.AUTO
    results: Path = Path("results/local")
    mirror: Path | None = None
    plugins: Sequence[Path] = ()
    workers: int | None = None
    timeout: float | None = None
    force: bool = False
    keep_adapters: bool = False
    frozen: Path | None = None  # a file of bench.lockfile that the run is held to
    recipes: Path | None = None  # a folder of tuned recipes that go before those that methods ship
    tuned: bool = True  # whether tuned recipes are used at all
    executor: str = LOCAL
    ray_address: str | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise UsageError(f"There is no executor {self.executor!r}; there are: {', '.join(EXECUTORS)}.")
        if self.ray_address is not None and self.executor != RAY:
            raise UsageError("--ray-address goes with --executor ray.")
        if self.executor == RAY and find_spec("ray") is None:
            raise UsageError("--executor ray needs Ray, which is not installed: pip install 'pasta-bench[ray]'.")

    @property
    def elsewhere(self) -> bool:
        """Whether cells run on other machines, which this one says nothing about."""
        return self.executor == RAY and self.ray_address is not None


def ask(
    *,
    suite: str | None = None,
    preset: str | None = None,
    methods: str | None = None,
    tasks: str | None = None,
    seeds: Sequence[int] | None = None,
    model: str | None = None,
    executor: str = LOCAL,
    ray_address: str | None = None,
    **others: Any,
) -> Request:
    """A request from what was given, the rest as the suite or preset has it; others: further fields of `Request`.

    methods and tasks are lists in the command line's form, such as "pasta,lora[r=4]".

    Raises:
        UsageError: for a suite that is not there, or a list that cannot be read or is empty.
    """
    chosen = suite_of(suite, preset)
    request = Request(
        suite=chosen,
        methods=parse_all(methods if methods is not None else ",".join(chosen.methods)),
        tasks=list(dict.fromkeys(split_list(tasks))) if tasks is not None else chosen.tasks,
        seeds=list(seeds) if seeds is not None else chosen.seeds,
        model=model or chosen.model,
        executor=executor,
        ray_address=ray_address or (os.environ.get("RAY_ADDRESS") if executor == RAY else None),
        **others,
    )
    if not request.tasks:
        raise UsageError("No task was given; `python -m bench list tasks` shows them.")
    if not request.seeds:
        raise UsageError("No seed was given.")
    return request


def suite_of(name_or_path: str | None, preset: str | None) -> Suite:
    """The suite of `--suite` or `--preset`.

    Raises:
        UsageError: if both are given, or the preset is none.
    """
    if name_or_path and preset:
        raise UsageError("Give --suite or --preset, not both: a preset is a suite.")
    if preset and preset not in suites.PRESETS:
        raise UsageError(f"There is no preset {preset!r}{suggest(preset, suites.PRESETS)}")
    return suites.load(name_or_path or preset or suites.PRESETS[0])
