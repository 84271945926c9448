"""The options of `run`, each declared once: the command line and `bench.run` are made from this class.

Standard library only: `--help` and `import bench` read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_type_hints

PathLike = str | Path
Names = str | Iterable[str]
Seeds = int | str | Iterable[int]

DEFAULT_RESULTS = Path("results/local")
DATA = ("text", "pair", "label", "separator", "labels", "kind", "metric", "validation", "test")  # what describes `data`


class Cli(NamedTuple):
    """An option on the command line. kind: what its text is converted to; list[Path] may be given several times."""

    kind: Any
    help: str
    least: float | None = None
    env: str | None = None


@dataclass(frozen=True)
class Options:
    """A grid as the user asks for it. None: as the suite or the profile has it."""

    methods: Annotated[Names | None, Cli(str, "Methods, such as 'pasta,lora[r=4]'. Default: the suite's.")] = None
    tasks: Annotated[Names | None, Cli(str, "Tasks, separated by commas. Default: the suite's.")] = None
    seeds: Annotated[Seeds | None, Cli(str, "Number of seeds (3), or the seeds (0,1,2). Default: the suite's.")] = None
    _: KW_ONLY
    data: Annotated[
        PathLike | None,
        Cli(str, "Your own data as a task: a CSV, TSV, JSON Lines or Parquet file, a folder of split files, or "
            "hub:datasets/OWNER/NAME[@REVISION]."),
    ] = None  # fmt: skip
    text: Annotated[str | None, Cli(str, "Column of --data with the texts. Default: text.")] = None
    pair: Annotated[str | None, Cli(str, "Column of --data with second texts. Default: none.")] = None
    label: Annotated[str | None, Cli(str, "Column of --data with the labels. Default: label.")] = None
    separator: Annotated[str | None, Cli(str, "What separates several labels of a row of --data, such as ';'.")] = None
    labels: Annotated[Names | None, Cli(str, "Labels of --data in order; F1 is that of the second.")] = None
    kind: Annotated[
        str | None, Cli(str, "classification (default), multi-label, regression or token-classification.")
    ] = None
    metric: Annotated[str | None, Cli(str, "Metric for --data. Default: by kind, accuracy for classification.")] = None
    validation: Annotated[float | None, Cli(float, "Share or number of --data to choose by. Default: 0.1.")] = None
    test: Annotated[float | None, Cli(float, "Share or number of --data to report on. Default: 0.2.")] = None
    model: Annotated[PathLike | None, Cli(str, "Model name, folder, or hub:OWNER/NAME[@REVISION].")] = None
    pooling: Annotated[
        str | None,
        Cli(str, "What heads for texts read: model (its own way), cls or mean. Default: the suite's."),
    ] = None
    profile: Annotated[PathLike, Cli(str, "Hardware profile: auto, a name, or a TOML file.")] = "auto"
    preset: Annotated[str | None, Cli(str, "Budget and default grid: quick, standard or full.")] = None
    suite: Annotated[PathLike | None, Cli(str, "Named grid, or a TOML file of one.")] = None
    results: Annotated[PathLike, Cli(Path, "Folder for records and tables.")] = DEFAULT_RESULTS
    mirror: Annotated[
        PathLike | None, Cli(Path, "Folder, laid out OWNER/NAME, to search before the hub.", env="BENCH_MIRROR")
    ] = None
    executor: Annotated[str, Cli(str, "Where cells run: local, or ray for the machines of a Ray cluster.")] = "local"
    ray_address: Annotated[
        str | None, Cli(str, "Ray cluster: HOST:PORT or auto. Default: $RAY_ADDRESS, else this machine.")
    ] = None
    workers: Annotated[int | None, Cli(int, "Number of cells to run at a time. Default: the profile's.")] = None
    plugin: Annotated[
        PathLike | Iterable[PathLike] | None,
        Cli(list[Path], "Python file with methods or tasks, or TOML file of a task; repeatable."),
    ] = None
    timeout: Annotated[float | None, Cli(float, "Time limit for one cell, in seconds.", least=0.001)] = None
    force: Annotated[bool, Cli(bool, "Rerun finished cells.")] = False
    keep_adapters: Annotated[bool, Cli(bool, "Keep trained adapters under RESULTS/adapters.")] = False
    track: Annotated[
        Names | None,
        Cli(list[str], "Log cells live by tensorboard, wandb, mlflow or trackio; repeatable, or separated by commas."),
    ] = None
    skip_unfit: Annotated[bool, Cli(bool, "Skip cells that are predicted not to fit into memory.")] = False
    frozen: Annotated[
        PathLike | None, Cli(Path, "Lock file of `freeze`: refuse other libraries, sources, profiles or code.")
    ] = None
    recipes: Annotated[
        PathLike | None, Cli(Path, "Folder of recipes written by `tune`, used before the methods' own.")
    ] = None


_HINTS = get_type_hints(Options, include_extras=True)
DECLARED: dict[str, tuple[Any, Cli]] = {
    each.name: (each.default, _HINTS[each.name].__metadata__[0]) for each in fields(Options)
}
"""The default of each option, and how the command line declares it, by name."""
