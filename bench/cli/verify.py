"""`verify`: run finished cells again and compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.common import DEFAULT_RESULTS, EXIT_FAILED, AsJson, Mirror, Plugins, Results, print_json, stderr_console
from bench.errors import UsageError
from bench.sanitize import one_line

if TYPE_CHECKING:
    from bench.records.record import Record
    from bench.records.store import Store
    from bench.verify import Verification

EXIT_REFUSED = 2


def verify(
    cells: Annotated[
        list[str] | None, typer.Argument(metavar="[CELL]...", help="Cell ids, or the beginnings of them.")
    ] = None,
    random: Annotated[
        int | None, typer.Option("--random", metavar="N", min=1, help="Verify N randomly chosen finished cells.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random choice.")] = 0,
    results: Results = DEFAULT_RESULTS,
    mirror: Mirror = None,
    plugin: Plugins = None,
    copy: Annotated[
        list[Path] | None,
        typer.Option(help="A file or folder with the content of a recorded model or task's data; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run finished cells again and compare data, losses, predictions and scores bit for bit."""
    from bench import verify as verifying
    from bench.records.store import Store
    from bench.runner import own_data
    from bench.runner.backend import local_executor
    from bench.runner.progress import FetchDisplay

    records = _chosen(Store(results), cells or [], random, seed)
    console = stderr_console()
    one = len(records) == 1 and random is None
    verifications: list[Verification] = []
    with FetchDisplay(console) as display:
        plugins = [*(plugin or ()), *own_data.declarations(results)]
        inputs = verifying.Inputs(plugins, mirror, copy or (), display.on_progress)
        console.print(f"Running {len(records)} cell{'s' if len(records) > 1 else ''} again ...")
        for each in verifying.verify_cells(records, local_executor(1), inputs):
            if one and each.refusal:
                raise UsageError(each.refusal)
            verifications.append(each)
            if not as_json:
                print(_line(each), flush=True)
    if as_json:
        print_json(verifications[0].to_json() if one else [each.to_json() for each in verifications])
    elif not one:
        same = sum(bool(each.same) for each in verifications)
        print(f"{same} of {len(verifications)} cells are the same bit for bit.")
    if any(each.same is False for each in verifications):
        raise typer.Exit(EXIT_FAILED)
    if not all(each.same for each in verifications):
        raise typer.Exit(EXIT_REFUSED)


def _chosen(store: Store, cells: Sequence[str], random: int | None, seed: int) -> list[Record]:
    from bench import lockfile
    from bench import verify as verifying

    if (random is None) == (not cells):
        raise UsageError("Give cell ids (`python -m bench leaderboard --per-cell` lists them) or --random N.")
    if random is None:
        return list({(record := store.find(cell)).id: record for cell in cells}.values())
    records = lockfile.finished(store.all()[0])
    if not records:
        raise UsageError(f"There is no finished cell in {store.root}.")
    return verifying.sample(records, random, seed)


def _line(verification: Verification) -> str:
    record = verification.record
    if verification.same:
        found = (
            f"the same bit for bit: {len(record.losses)} losses, {len(record.predictions)} predictions, "
            f"{record.metric} {record.score}."
        )
    elif verification.same is None:
        found = f"not run: {verification.refusal}"
    else:
        surroundings = "; ".join(verification.surroundings) or "nothing that is recorded"
        found = f"not the same: {'; '.join(verification.differences)}. Also different: {surroundings}."
    return one_line(f"{record.id} ({record.cell.label}, seed {record.cell.seed}): {found}")
