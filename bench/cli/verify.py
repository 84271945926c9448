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
    from bench.verify import Verdict

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
    from bench.runner import run
    from bench.runner.progress import FetchDisplay

    records = _chosen(Store(results), cells or [], random, seed)
    console = stderr_console()
    for record in records:
        console.print(one_line(f"Running {record.cell.label}, seed {record.cell.seed}, again ..."), markup=False)
    verdicts: list[Verdict] = []
    with FetchDisplay(console) as display:
        executor = run.local_executor(1, None)
        for verdict in verifying.repeated(records, executor, mirror, plugin or (), copy or (), display.told):
            verdicts.append(verdict)
            if len(records) > 1:
                console.print(f"[{len(verdicts)}/{len(records)}] {_line(verdict)}", markup=False)
    order = [record.id for record in records]
    verdicts.sort(key=lambda verdict: order.index(verdict.record.id))
    one = len(records) == 1 and random is None
    if one and verdicts[0].refusal:
        raise UsageError(verdicts[0].refusal)
    if as_json:
        print_json(verdicts[0].to_json() if one else [verdict.to_json() for verdict in verdicts])
    elif one:
        print(_line(verdicts[0]))
        if not verdicts[0].same:
            surroundings = "; ".join(verdicts[0].surroundings) or "nothing that is recorded"
            print(one_line(f"What else is different: {surroundings}."))
    else:
        _show(verdicts)
    if any(verdict.same is False for verdict in verdicts):
        raise typer.Exit(EXIT_FAILED)
    if not all(verdict.same for verdict in verdicts):
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
    return verifying.drawn(records, random, seed)


def _line(verdict: Verdict) -> str:
    record = verdict.record
    if verdict.same:
        found = (
            f"the same bit for bit: {len(record.losses)} losses, {len(record.predictions)} predictions, "
            f"{record.metric} {record.score}."
        )
    elif verdict.same is None:
        found = f"not run: {verdict.refusal}"
    else:
        found = f"not the same: {'; '.join(verdict.differences)}."
    return one_line(f"{record.id}: {found}")


def _show(verdicts: Sequence[Verdict]) -> None:
    from bench.text import text_table

    words = {True: "yes", False: "no", None: "not run"}
    print(
        text_table(
            {
                "cell": verdict.record.id,
                "what": verdict.record.cell.label,
                "seed": str(verdict.record.cell.seed),
                "the same": words[verdict.same],
                "reasons": "; ".join(verdict.reasons),
            }
            for verdict in verdicts
        )
    )
    print(
        f"\n{sum(bool(verdict.same) for verdict in verdicts)} of {len(verdicts)} cells came out the same bit for bit."
    )
