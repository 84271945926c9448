"""`freeze`: what results were made with, as a file that a run can be held to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import AsJson, Folders, OnlyProfile, merged, print_json, stderr_console


def freeze(
    folders: Folders = None,
    out: Annotated[
        Path, typer.Option(help="Write Python, libraries, sources, profiles and code here, as TOML.")
    ] = Path("bench.lock.toml"),
    constraints: Annotated[
        Path | None, typer.Option(help="Write the libraries here too, as `pip install -c` takes them.")
    ] = None,
    profile: OnlyProfile = None,
    as_json: AsJson = False,
) -> None:
    """Write down what results were made with, for `run --frozen` and for strangers."""
    from bench import lockfile
    from bench.files import write_atomically

    console = stderr_console()
    records = lockfile.finished(merged(folders, profile, console).records)
    frozen = lockfile.freeze(records)
    write_atomically(out, frozen.to_toml(len(records)))
    if constraints is not None:
        write_atomically(constraints, frozen.constraints(len(records)))
    if frozen.dirty:
        console.print("Some of these cells were run with changes that no commit holds: nobody else can have that code.")
    if as_json:
        print_json(frozen.model_dump(mode="json"))
        return
    written = " and ".join(str(path) for path in (out, constraints) if path is not None)
    print(
        f"{len(records)} finished cells, {len(frozen.versions)} libraries, {len(frozen.models)} models, "
        f"{len(frozen.tasks)} tasks: written to {written}."
    )
