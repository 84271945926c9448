"""What notebooks and scripts call: `bench.load` and `bench.run`, both of which give pandas frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError
from bench.leaderboard.merging import merge

if TYPE_CHECKING:
    import pandas as pd

    from bench.leaderboard import Boards
    from bench.records.record import Record

Names = str | Iterable[str]


class Results:
    """Records, and the tables made of them as data frames with nullable types: unknown is <NA>, never 0.

    records: see bench.records.record.Record. notes: sentences on what was left out. What the columns of leaderboard,
    cells, pairs and overall mean is told in bench.leaderboard.columns.
    """

    def __init__(self, records: Sequence[Record], notes: Sequence[str] = ()) -> None:
        self.records, self.notes = list(records), list(notes)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        methods = {(record.cell.method, record.cell.variant) for record in self.records}
        tasks = {record.cell.task for record in self.records}
        return f"<Results: {len(self)} cells, {len(methods)} methods, {len(tasks)} tasks>"

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """A row a method and task, over seeds, from best to worst."""
        return self._boards.leaderboard.convert_dtypes()

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell: one training and its evaluation."""
        return self._boards.cells.convert_dtypes()

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """A row for every two methods on a task: how far apart, and how sure."""
        return self._boards.pairs.convert_dtypes()

    @cached_property
    def overall(self) -> pd.DataFrame:
        """A row a method over all tasks: average ranks."""
        return self._boards.overall.convert_dtypes()

    @cached_property
    def losses(self) -> pd.DataFrame:
        """A row a training step: cell, method, method_params, task, seed, step (from 1), loss."""
        return self._long(
            lambda record: ({"step": at, "loss": loss} for at, loss in enumerate(record.losses, start=1)),
            ("step", "loss"),
        )

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row a test example: cell, method, method_params, task, seed, example (from 0), prediction, reference."""
        return self._long(
            lambda record: (
                {"example": at, "prediction": answer, "reference": truth}
                for at, (answer, truth) in enumerate(zip(record.predictions, record.references, strict=True))
            ),
            ("example", "prediction", "reference"),
        )

    @cached_property
    def _boards(self) -> Boards:
        from bench.leaderboard import Boards

        return Boards(self.records)

    def _long(self, lines: Any, names: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        found = [
            {"cell": record.id, "method": record.cell.method, "method_params": record.cell.variant,
             "task": record.cell.task, "seed": record.cell.seed, **line}
            for record in self.records
            for line in lines(record)
        ]  # fmt: skip
        return pd.DataFrame(found, columns=["cell", "method", "method_params", "task", "seed", *names])


def load(*folders: str | Path, profile: str | None = None) -> Results:
    """The results of one folder or several, by default of results/local.

    Args:
        folders: results folders, such as "results/local"; several are merged.
        profile: keep the cells of this hardware profile only; "all" keeps all, with rows for each.

    Raises:
        UsageError: for a folder that is not there, or folders that hold more than one profile without a word on
            which is meant.
    """
    found = merge([Path(folder) for folder in folders] or [Path("results/local")], profile)
    return Results(found.records, found.notes)


def run(
    methods: Names | None = None,
    tasks: Names | None = None,
    seeds: int | Iterable[int] | None = None,
    *,
    model: str | None = None,
    profile: str = "auto",
    preset: str | None = None,
    suite: str | Path | None = None,
    results: str | Path = "results/local",
    mirror: str | Path | None = None,
    plugins: Iterable[str | Path] = (),
    workers: int | None = None,
    timeout: float | None = None,
    force: bool = False,
    keep_adapters: bool = False,
    frozen: str | Path | None = None,
    executor: str = "local",
    ray_address: str | None = None,
) -> Results:
    """Run a grid of methods x tasks x seeds, as `python -m bench run` does, and give the results of its cells.

    Cells that are finished already are not run again. A cell that fails does not raise: it is a row with its
    reason. Progress goes to standard error. What is None is as the suite has it.

    Args:
        methods: "pasta,lora[r=4]" or ["pasta", "lora[r=4]"].
        tasks: "rt-polarity,sms-spam" or a list of names.
        seeds: how many (3 means 0, 1, 2), or which ([0, 7]).
        model: a name, a folder, or hub:OWNER/NAME@REVISION.
        profile: "auto", a hardware profile's name, or a TOML file of one.
        preset: "quick", "standard" or "full"; suite: another named grid, or a TOML file of one.
        results: the folder that takes records and tables.
        mirror: a folder laid out as the hub is, looked at before it.
        plugins: Python files with methods or tasks of your own.
        workers: cells at a time. timeout: seconds that one cell may take. force: run finished cells again.
        keep_adapters: leave what was trained under RESULTS/adapters/CELL.
        frozen: a file of `python -m bench freeze` that the run is held to.
        executor: "local", or "ray" for the machines of a cluster; ray_address: where it is, as `ray.init` takes it.

    Raises:
        BenchError: for wrong names, parameters, profiles and sources, before anything runs.
        KeyboardInterrupt: if the grid was interrupted; what had finished is kept.
    """
    from rich.console import Console

    from bench.leaderboard import files
    from bench.runner.backend import launch
    from bench.runner.plan import plan
    from bench.runner.request import ask

    wanted = list(range(seeds)) if isinstance(seeds, int) else None if seeds is None else list(seeds)
    if wanted is not None and any(not isinstance(seed, int) or seed < 0 for seed in wanted):
        raise UsageError(f"seeds={seeds!r} is neither a count nor a list of whole numbers from 0 up.")
    request = ask(
        suite=None if suite is None else str(suite),
        preset=preset,
        methods=_joined(methods),
        tasks=_joined(tasks),
        seeds=wanted,
        model=model,
        profile=profile,
        results=Path(results),
        mirror=None if mirror is None else Path(mirror),
        plugins=[Path(plugin) for plugin in plugins],
        workers=workers,
        timeout=timeout,
        force=force,
        keep_adapters=keep_adapters,
        frozen=None if frozen is None else Path(frozen),
        executor=executor,
        ray_address=ray_address,
    )
    outcome = launch(plan(request), request, Console(stderr=True, highlight=False))
    files.write(request.results, merge([request.results]).records)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return Results(list(outcome.records.values()))


def _joined(names: Names | None) -> str | None:
    return names if names is None or isinstance(names, str) else ",".join(names)
