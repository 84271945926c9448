"""The grid that the options of `run` describe, with the suite's values where they say nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from bench import profiles
from bench.errors import UsageError
from bench.grid import suites
from bench.grid.recipes import RecipeStore
from bench.grid.suites import Suite
from bench.plugins.specs import Spec, parse_all, split_list
from bench.plugins.task import Pooling
from bench.runner import own_data
from bench.runner.options import DEFAULT_RESULTS, Names, Options, PathLike, Seeds
from bench.suggestions import suggest
from bench.train import tracking

POOLINGS = get_args(Pooling)
EXECUTORS = LOCAL, RAY = "local", "ray"
MOST_SEEDS = 1000  # a larger count is more likely meant as the number of one seed


@dataclass(frozen=True)
class Request:
    """A grid to run. options: as given; the fields that follow are what those of the same names mean."""

    options: Options
    suite: Suite
    methods: Sequence[Spec]
    tasks: Sequence[str]
    seeds: Sequence[int]
    model: str
    profile: str = profiles.AUTO
    results: Path = DEFAULT_RESULTS
    mirror: Path | None = None
    plugins: Sequence[Path] = ()
    recipes: RecipeStore = field(default_factory=RecipeStore)
    track: Sequence[str] = ()

    @classmethod
    def of(cls, options: Options) -> Request:
        """The request that these options make; a UsageError for what contradicts itself or cannot be read."""
        _check_executor(options)
        results = Path(options.results)
        own = own_data.declared(options, results / own_data.FOLDER)
        suite = _pooled(suite_of(options.suite, options.preset), options.pooling)
        request = cls(
            options,
            suite,
            methods=parse_all(_joined(options.methods if options.methods is not None else suite.methods)),
            tasks=_tasks(options, suite, own),
            seeds=suite.seeds if options.seeds is None else parse_seeds(options.seeds),
            model=str(options.model or suite.model),
            profile=str(options.profile),
            results=results,
            mirror=None if options.mirror is None else Path(options.mirror),
            plugins=(*paths(options.plugin), *([own] if own else [])),
            recipes=RecipeStore(None if options.recipes is None else Path(options.recipes)),
            track=tracking.wanted(split_list(_joined(options.track or ()))),
        )
        if not request.tasks:
            raise UsageError("No task was given; `python -m bench list tasks` shows them.")
        folder = request.recipes.folder
        if folder is not None and not folder.is_dir():
            raise UsageError(f"--recipes {folder}: there is no such folder; `python -m bench tune` writes one.")
        return request

    @property
    def ray_address(self) -> str | None:
        """The address of the Ray cluster, if cells run on one that exists already."""
        if self.options.executor != RAY:
            return None
        return self.options.ray_address or os.environ.get("RAY_ADDRESS") or None


def _tasks(options: Options, suite: Suite, own: Path | None) -> Sequence[str]:
    """The tasks asked for, and that of `--data`, which otherwise takes the place of the suite's."""
    named = [] if options.tasks is None else split_list(_joined(options.tasks))
    if own:
        named.append(own.stem)
    return suite.tasks if options.tasks is None and not own else tuple(dict.fromkeys(named))


def suite_of(name_or_path: PathLike | None, preset: str | None) -> Suite:
    """The suite of `--suite` or `--preset`, of which only one may be given."""
    if name_or_path and preset:
        raise UsageError("Give --suite or --preset, not both: a preset is a suite.")
    if preset and preset not in suites.PRESETS:
        raise UsageError(f"There is no preset {preset!r}{suggest(preset, suites.PRESETS)}")
    return suites.load(str(name_or_path or preset or suites.PRESETS[0]))


def parse_seeds(given: Seeds) -> list[int]:
    """Seeds in the order given: 3 and "3" are the seeds 0, 1, 2; [0, 7] and "0,7" are those two; "5," is the seed 5."""
    text = given if isinstance(given, str) else str(given) if isinstance(given, int) else f"{_joined(map(str, given))},"
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        numbers = []
    is_count = "," not in text
    if not numbers or min(numbers) < 0 or (is_count and numbers == [0]):
        raise UsageError(f"--seeds {text!r} is neither a count (3) nor a list of numbers from 0 up (0,1,2).")
    if is_count and numbers[0] > MOST_SEEDS:
        raise UsageError(f"--seeds {text!r} is more than {MOST_SEEDS} seeds; write '{text},' for that one seed.")
    return list(range(numbers[0])) if is_count else list(dict.fromkeys(numbers))


def _pooled(suite: Suite, pooling: str | None) -> Suite:
    """The suite with the pooling that was asked for; None: its own."""
    if pooling is None:
        return suite
    if pooling not in POOLINGS:
        raise UsageError(f"--pooling {pooling!r}: there are {', '.join(POOLINGS)}.")
    return suite.model_copy(update={"pooling": pooling})


def _check_executor(options: Options) -> None:
    if options.executor not in EXECUTORS:
        raise UsageError(f"There is no executor {options.executor!r}; there are: {', '.join(EXECUTORS)}.")
    if options.ray_address is not None and options.executor != RAY:
        raise UsageError("--ray-address goes with --executor ray.")
    if options.executor == RAY and find_spec("ray") is None:
        raise UsageError("--executor ray needs Ray, which is not installed: pip install 'pasta-bench[ray]'.")


def _joined(names: Names) -> str:
    return names if isinstance(names, str) else ",".join(names)


def paths(given: PathLike | Iterable[PathLike] | None) -> tuple[Path, ...]:
    """An option that takes one path or several."""
    return () if given is None else (Path(given),) if isinstance(given, str | Path) else tuple(map(Path, given))
