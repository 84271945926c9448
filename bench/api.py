"""What notebooks and scripts call: `bench.load` and `bench.run`, which give pandas frames, and `bench.load_adapter`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, get_type_hints

from bench.errors import SourceError, UsageError
from bench.leaderboard.load import load_records
from bench.runner.options import DECLARED, DEFAULT_RESULTS, Options, PathLike

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from bench.leaderboard.tables import Tables
    from bench.records.record import Record

P = ParamSpec("P")
R = TypeVar("R")


class Drawing(str):
    """An SVG as text, which notebooks show as a picture."""

    def _repr_svg_(self) -> str:
        return str(self)


class Plots:
    """Pictures of results; `write_text` of a path keeps one."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def pareto(self) -> Drawing | None:
        """The mean score over tasks against the trainable share, with the Pareto front; None: there is no mean.

        Of several boards (model, profile, suite, pooling) the first one by name.
        """
        from bench.report.picture import picture

        drawn = picture(self._records)
        return None if drawn is None else Drawing(drawn)


class Results:
    """Records, and the tables made of them as data frames with nullable types: unknown is <NA>, never 0.

    records: see bench.records.record.Record. notes: sentences on what was left out. The columns of leaderboard, cells,
    pairs and overall are described in bench.leaderboard.columns.
    """

    def __init__(
        self,
        records: Sequence[Record],
        notes: Sequence[str] = (),
        folders: Sequence[Path] = (),
        against: str | None = None,
    ) -> None:
        self.records, self.notes = list(records), list(notes)
        self._folders, self._against = folders, against

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        methods = {(record.cell.method, record.cell.variant) for record in self.records}
        tasks = {record.cell.task for record in self.records}
        return f"<Results: {len(self)} cells, {len(methods)} methods, {len(tasks)} tasks>"

    def _repr_html_(self) -> str:
        """The methods over all tasks, as notebooks show them."""
        return self._shown("overall", "html")

    def to_latex(self, table: Literal["leaderboard", "overall", "pairs", "cells"] = "leaderboard") -> str:
        """A table for a paper, with booktabs; the leaderboard as a table of methods and tasks."""
        return self._shown(table, "latex")

    @property
    def plot(self) -> Plots:
        return Plots(self.records)

    def against(self, method: str) -> Results:
        """The same with tables for comparisons with one method, "lora[r=4]", chosen before its results were known.

        `pairs` has the pairs with it, corrected for these alone; `overall` has the differences from it.

        Raises:
            UsageError: for a method that has no record here.
        """
        made = Results(self.records, self.notes, self._folders, method)
        made._tables.lines("overall", method)
        return made

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """A row per method and task, over seeds, from best to worst."""
        return self._tables.frame("leaderboard").convert_dtypes()

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row per cell: one training and its evaluation."""
        return self._tables.frame("cells").convert_dtypes()

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """A row per pair of methods on a task: their difference and its interval."""
        return self._tables.frame("pairs", self._against).convert_dtypes()

    @cached_property
    def overall(self) -> pd.DataFrame:
        """A row per method over all tasks: means, differences with intervals, letters, costs, average ranks."""
        return self._tables.frame("overall", self._against).convert_dtypes()

    @cached_property
    def losses(self) -> pd.DataFrame:
        """A row per training step: cell, method, method_params, task, seed, step (from 1), loss, model."""
        return self._long(
            lambda record: ({"step": at, "loss": loss} for at, loss in enumerate(record.losses, start=1)),
            ("step", "loss"),
        )

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row per test example: cell, method, method_params, task, seed, example (from 0), prediction, reference,
        model.
        """
        return self._long(
            lambda record: (
                {"example": at, "prediction": answer, "reference": truth}
                for at, (answer, truth) in enumerate(zip(record.predictions, record.references, strict=True))
            ),
            ("example", "prediction", "reference"),
        )

    def texts(self, plugin: PathLike | Iterable[PathLike] = (), mirror: PathLike | None = None) -> pd.DataFrame:
        """A row per test example: task, example (from 0), text, pair; `predictions.merge(texts)` joins them.

        plugin: files of tasks of your own; those of `run --data` are known. mirror: as for `run`.

        Raises:
            BenchError: for a task or data that are not here, or not those of the records.
        """
        import pandas as pd

        from bench.plugins import registry
        from bench.runner.own_data import declarations
        from bench.runner.request import paths
        from bench.train.data import examples_of, read
        from bench.verify import Inputs

        plugins = [*paths(plugin), *(file for folder in self._folders for file in declarations(folder))]
        inputs, known = Inputs(plugins, None if mirror is None else Path(mirror)), registry.tasks(plugins)
        cells = {(r.cell.task, r.cell.task_revision, r.cell.budget.model_dump_json()): r.cell for r in self.records}
        found = [
            {"task": cell.task, "example": at, "text": example.text, "pair": example.pair}
            for cell in cells.values()
            for splits in [read(known.get(cell.task).plugin(), inputs.data(cell))]
            for at, example in enumerate(examples_of("test", splits, cell.budget))
        ]
        return pd.DataFrame(found, columns=["task", "example", "text", "pair"]).drop_duplicates()

    @cached_property
    def _tables(self) -> Tables:
        from bench.leaderboard.tables import Tables

        return Tables(self.records)

    def _shown(self, table: str, form: str) -> str:
        from bench.leaderboard.shown import shown

        return shown(table, self._tables, form, self._against)

    def _long(self, lines: Any, names: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        found = [
            {"cell": record.id, "method": record.cell.method, "method_params": record.cell.variant,
             "task": record.cell.task, "seed": record.cell.seed, **line, "model": record.cell.model}
            for record in self.records
            for line in lines(record)
        ]  # fmt: skip
        return pd.DataFrame(found, columns=["cell", "method", "method_params", "task", "seed", *names, "model"])


def load(*folders: str | Path, profile: str | None = None) -> Results:
    """The results of one folder or several, by default of results/local.

    Args:
        folders: results folders, such as "results/local"; several are merged.
        profile: keep the cells of this hardware profile only; "all" keeps all, with rows for each.

    Raises:
        UsageError: for a folder that is not there, or folders that hold more than one profile without a word on
            which is meant.
    """
    found_in = [Path(folder) for folder in folders] or [DEFAULT_RESULTS]
    found = load_records(found_in, profile)
    return Results(found.records, found.notes, found_in)


def load_adapter(
    folder: PathLike,
    *,
    model: PathLike | None = None,
    plugin: PathLike | Iterable[PathLike] = (),
    mirror: PathLike | None = None,
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The tuned model of a folder that `run --keep-adapters` wrote, in evaluation mode on the CPU, and its tokenizer.

    Call it as `model(**tokenizer(text, truncation=True, return_tensors="pt")).logits`. The base model is the one that
    the adapter was trained on, with the pooling that it was trained with.

    Args:
        folder: such as "results/local/adapters/lora-rt-polarity-seed0".
        model: where the base model is now, if its reference in the folder's cell.json does not lead to it.
        plugin: files of methods of your own. mirror: as for `run`.

    Raises:
        BenchError: for a folder that holds no adapter, an unknown method, or a base model that is not here or another.
    """
    from bench.plugins import registry
    from bench.runner.request import paths
    from bench.sources.references import pinned
    from bench.sources.resolve import resolve
    from bench.train import kept
    from bench.train.adaptation import saved_method

    about, source = kept.read(Path(folder)), None if model is None else Path(model).expanduser().resolve()
    method = saved_method(Path(folder), registry.methods(paths(plugin)))
    try:
        place = str(source or pinned(about.model_source, about.model_revision))
        found = resolve(place, mirror=None if mirror is None else Path(mirror))
    except SourceError as error:
        raise SourceError(f"{error} Give the base model with model=FOLDER.") from None
    if found.revision != about.model_revision:
        raise UsageError(
            f"{folder} was trained on {about.model}, {about.model_revision}, and {source or about.model_source} is "
            f"{found.revision}. Give the right one with model=FOLDER."
        )
    return kept.load(Path(folder), about, method, found.path)


def _takes(build: Callable[P, Options]) -> Callable[[Callable[[Options], R]], Callable[P, R]]:
    """Decorate a function of options: it takes each of them as a keyword argument, and its docstring names them."""

    def decorate(function: Callable[[Options], R]) -> Callable[P, R]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(build(*args, **kwargs))

        described = "\n        ".join(f"{name}: {declared.help}" for name, (_, declared) in DECLARED.items())
        called.__doc__ = (function.__doc__ or "").replace("{options}", described)
        types = get_type_hints(build)
        parameters = [each.replace(annotation=types[name]) for name, each in signature(build).parameters.items()]
        called.__signature__ = Signature(parameters, return_annotation=Results)  # type: ignore[attr-defined]
        return called

    return decorate


@_takes(Options)
def run(options: Options) -> Results:
    """Run a grid of methods x tasks x seeds, as `python -m bench run` does, and give the results of its cells.

    Finished cells are not rerun. A cell that fails does not raise: it is a row with its reason. Progress goes to
    standard error. Lists may be given as Python lists: methods=["pasta", "lora[r=4]"], seeds=[0, 7].

    Args:
        {options}

    Raises:
        BenchError: for wrong names, parameters, profiles and sources, before anything runs.
        KeyboardInterrupt: if the grid was interrupted; finished cells are kept.
    """
    from rich.console import Console

    from bench.runner.request import Request
    from bench.runner.session import execute, prepare, write_tables

    request, console = Request.of(options), Console(stderr=True, markup=False, highlight=False)
    outcome = execute(prepare([request], console), request, console)
    write_tables(request.results, console)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return Results(list(outcome.records.values()), folders=[request.results])
