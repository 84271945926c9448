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
    """Write a lock file: what results were made with, for `run --frozen` and for others who reproduce them."""
    from bench import lockfile
    from bench.files import write_atomically

    console = stderr_console()
    records = lockfile.finished(merged(folders, profile, console))
    lock = lockfile.freeze(records)
    write_atomically(out, lock.to_toml(len(records)))
    if constraints is not None:
        write_atomically(constraints, lock.constraints(len(records)))
    if lock.dirty:
        console.print("Some of these cells were run with uncommitted changes, so their code cannot be checked out.")
    if as_json:
        print_json(lock.model_dump(mode="json"))
        return
    written = " and ".join(str(path) for path in (out, constraints) if path is not None)
    print(
        f"{len(records)} finished cells, {len(lock.versions)} libraries, {len(lock.models)} models, "
        f"{len(lock.tasks)} tasks: written to {written}."
    )
