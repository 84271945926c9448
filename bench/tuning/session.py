"""One call of `tune`: trials until there is nothing more to try, then recipes, chosen and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.grid.recipes import Tuned
from bench.records.record import Record
from bench.runner.options import Options
from bench.runner.request import Request
from bench.runner.session import execute, prepare
from bench.tuning import files
from bench.tuning.choice import choose
from bench.tuning.requests import Tuning
from bench.tuning.trials import Trial, trials_of

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class TuningOutcome:
    """written: names of files in the results folder. interrupted: then nothing was chosen or written."""

    records: Sequence[Record]
    trials: Sequence[Trial] = ()
    chosen: Sequence[Tuned] = ()
    written: Sequence[str] = ()
    interrupted: bool = False


def tuning_of(options: Options, rates: int, extensions: int, epochs: float, min_steps: int) -> Tuning:
    """What these options ask for, on the suite `standard` if they name none; a UsageError for what cannot be tuned."""
    if not options.suite and not options.preset:
        options = replace(options, suite="standard")
    return Tuning.of(Request.of(options), rates, extensions, {"epochs": epochs, "min_steps": min_steps})


def tune(tuning: Tuning, console: Console) -> TuningOutcome:
    """Run what is missing, round by round, and write recipes/, trials.csv and rates.svg into the results folder."""
    request, records = tuning.request, dict[str, Record]()
    while requests := tuning.requests(records.values()):
        planned = prepare(requests, console)
        if not records:
            least, most = tuning.sizes
            console.print(f"About {least:,} to {most:,} trainings in all, more if good settings fail at a second seed.")
        outcome = execute(planned, request, console)
        if outcome.interrupted:
            return TuningOutcome(list(outcome.records.values()), interrupted=True)
        if outcome.records.keys() <= records.keys():
            break  # nothing new: asking again would not help
        records |= outcome.records
    found = list(records.values())
    trials = trials_of(found)
    chosen = choose(trials, request.seeds)
    spaces = {label: search.space for label, search in tuning.searches.items()}
    return TuningOutcome(found, trials, chosen, files.write(request.results, trials, chosen, spaces))
