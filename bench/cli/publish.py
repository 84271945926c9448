"""`publish`: writes results folders as one publication, to a folder or to the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import (
    Against,
    AsJson,
    Folders,
    OnlyProfile,
    Tuning,
    merged,
    print_json,
    require_records,
    stderr_console,
    trials_of,
)
from bench.sanitize import one_line


def publish(
    to: Annotated[str, typer.Option("--to", metavar="DIR|hub:OWNER/NAME", help="Publish here.")],
    folders: Folders = None,
    against: Against = None,
    profile: OnlyProfile = None,
    tuning: Tuning = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be published; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write tables, page, records and a list of hashes to a folder or a data set repository on the hub."""
    from bench.publish.folder import contents, named_folders, repository, stale, to_folder, to_hub

    console = stderr_console()
    name = repository(to)
    records = merged(folders, profile, console)
    require_records(records, folders, console)
    made = contents(records, against, trials_of(tuning))
    for source in named_folders(records):
        console.print(one_line(f"Note: the records contain the path of a local folder: {source}"))
    removed = stale(Path(to), made) if name is None else []
    sizes = {path: len(text.encode()) for path, text in made.items()}
    address = to
    if not dry_run:
        if name is None:
            to_folder(Path(to), made)
        else:
            address = to_hub(name, made)
    if as_json:
        print_json({"to": address, "dry_run": dry_run, "files": sizes, "removed": removed})
        return
    records_sizes = [size for path, size in sizes.items() if path.startswith("records/")]
    for path, size in sizes.items():
        if not path.startswith("records/"):
            print(f"{path}  {size:,} bytes")
    print(f"records/  {len(records_sizes)} files, {sum(records_sizes):,} bytes")
    for path in removed:
        print(f"{one_line(path)}  {'would be ' if dry_run else ''}removed: no longer part of these results")
    print(f"{'Would be published' if dry_run else 'Published'} to {address}: {len(sizes)} files, "
          f"{sum(sizes.values()):,} bytes.")  # fmt: skip
