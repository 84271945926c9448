"""`--data`: a task without a file of its own. Its declaration is written as the TOML file that one would write."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import tomli_w

from bench.errors import PluginError, UsageError
from bench.files import write_atomically
from bench.plugins import registry, table_task
from bench.plugins.specs import split_list
from bench.runner.options import DATA, Options
from bench.sources.references import REMOTE, exists

FOLDER = "tasks"  # of a results folder


def declared(options: Options, folder: Path) -> Path | None:
    """The TOML file, in this folder, of the task that `--data` and its options declare; None: they declare none.

    Raises:
        UsageError: if an option makes no sense, or the name of the file is that of another task.
        StoreError: if the folder cannot be written.
    """
    given = {name: value for name in DATA if (value := getattr(options, name)) is not None}
    if options.data is None:
        if given:
            raise UsageError(f"--{next(iter(given))} describes a file of your own: it goes with --data FILE.")
        return None
    source = str(options.data)
    if not source.startswith(REMOTE):
        path = Path(source).expanduser()
        if not exists(path):
            raise UsageError(f"--data {source}: there is no file or folder of that name.")
        source = str(path.resolve())
    values = {"name": _name(source), "source": source, **{name: _value(name, value) for name, value in given.items()}}
    if options.kind == "multi-label" and "," in str(options.label):
        values["label"] = split_list(str(options.label))
    try:
        table_task.declaration(values)
    except PluginError as error:
        raise UsageError(f"--data {options.data}: {error}.") from None
    file = folder / f"{values['name']}.toml"
    if found := registry.tasks().found.get(str(values["name"])):
        raise UsageError(
            f"--data {options.data}: {found.origin} has a task {values['name']!r} already; rename the file, or declare "
            "it under another name in a TOML file."
        )
    write_atomically(file, tomli_w.dumps(values))
    return file.resolve()


def declarations(results: Path) -> list[Path]:
    """The tasks that `--data` declared for a results folder."""
    return sorted((results / FOLDER).glob("*.toml"))


def _name(source: str) -> str:
    """The task's name: that of the file or repository, without signs that a name cannot have."""
    if source.startswith(REMOTE):
        # hub:datasets/OWNER/NAME@REVISION!/folder
        stem = re.sub(r"@[^!]*", "", source.partition("#")[0]).rpartition("/")[2]
    else:
        stem = Path(source).name if Path(source).is_dir() else Path(source).stem
    return re.sub(r"[^\w.+-]+", "-", stem).strip("-.+") or "data"


def _value(name: str, value: object) -> object:
    """An option as TOML has it."""
    if name == "labels":
        return split_list(value) if isinstance(value, str) else list(value) if isinstance(value, Iterable) else value
    if name in ("validation", "test") and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
