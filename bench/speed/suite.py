"""All of it in one run: rounds of all contenders in turns, and what is read off them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from bench.errors import UsageError
from bench.grid import seeds
from bench.measure.machine import threads
from bench.measure.time import DROPPED_STEPS
from bench.speed.booth import Booth, Drawn
from bench.speed.catalogue import CONTENDERS
from bench.speed.products import Work, layer_shapes, product_gflops, work_per_token
from bench.speed.rounds import turns
from bench.speed.setting import BATCH, Files, Setting
from bench.suggestions import suggest

MEMORY = "memory"
PARTS = (*CONTENDERS, MEMORY)
MEASURED_IN_MEMORY = ("pasta", "full")
ON_ONE_BATCH = ("pasta", "pasta-reference")
STEPS_ON_ONE_BATCH = DROPPED_STEPS + 6

Told = Callable[[str], None]  # what is done next, a line; called as often as `count` says


@dataclass(frozen=True)
class Request:
    """What is to be measured. examples: a round, in whole batches. parts: some of PARTS."""

    files: Files
    model: str
    rounds: int
    examples: int
    threads: int
    parts: tuple[str, ...] = PARTS


@dataclass
class Measured:
    """What was measured, one figure a round.

    examples_per_second, tokens_per_second: of whole training calls, by contender. on_one_batch: examples/s where all
    steps have the same batch of 32. gflops: the rate of products just before and after PASTA's turn, their mean.
    head_epochs: seconds of the head's first epoch and of the mean later one. growth_mib: by contender.
    """

    request: Request
    task: str
    work: Work
    examples_per_second: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tokens_per_second: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    on_one_batch: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    gflops: list[float] = field(default_factory=list)
    product_tokens: int = 0
    head_epochs: list[tuple[float, float]] = field(default_factory=list)
    growth_mib: dict[str, float | None] = field(default_factory=dict)

    @property
    def rate_shares(self) -> list[float]:
        """PASTA's useful FLOPs a second over the rate of products, round by round; without attention's own."""
        useful = [tokens * self.work.layers / 1e9 for tokens in self.tokens_per_second["pasta"]]
        return [mine / machine for mine, machine in zip(useful, self.gflops, strict=True)]


def parts_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The parts of these names, in the usual order; None: all.

    Raises:
        UsageError: for a name that is none, or no name.
    """
    if names is None:
        return PARTS
    for name in names:
        if name not in PARTS:
            raise UsageError(f"There is nothing {name!r} to measure{suggest(name, PARTS)}")
    if not names:
        raise UsageError(f"--only names nothing; there are: {', '.join(PARTS)}.")
    return tuple(part for part in PARTS if part in names)


def whole_batches(examples: int) -> int:
    """So many examples, rounded down to whole batches.

    Raises:
        UsageError: if the steps that are left out are all there would be.
    """
    fewest = (DROPPED_STEPS + 1) * BATCH
    if examples < fewest:
        raise UsageError(f"--examples {examples} is too few: the first {DROPPED_STEPS} steps of {BATCH} examples are "
                         f"left out, so at least {fewest} are needed.")  # fmt: skip
    return examples - examples % BATCH


def count(request: Request) -> int:
    """How many times `measure` will say what it does."""
    contenders = [part for part in request.parts if part in CONTENDERS]
    memory = len(MEASURED_IN_MEMORY) if MEMORY in request.parts else 0
    one_batch = len(ON_ONE_BATCH) if set(ON_ONE_BATCH) <= set(request.parts) else 0
    return request.rounds * (len(contenders) + one_batch) + memory


def measure(request: Request, told: Told) -> Measured:
    """Measure everything asked for. torch has so many threads meanwhile.

    Raises:
        BenchError: for a task, a model or a number of examples that does not do.
    """
    setting, files = Setting(request.files), request.files
    samples = [Drawn(request.examples, seeds.derive(at, "speed")) for at in range(request.rounds)]
    lengths = setting.sample(samples[0].examples, samples[0].seed).lengths
    found = Measured(request, setting.task.name, work_per_token(setting.config, lengths))
    found.product_tokens = round(float(lengths.mean()) * BATCH)
    with threads(request.threads), ExitStack() as open_booths:
        names = [part for part in request.parts if part in CONTENDERS]
        booths = {name: open_booths.enter_context(Booth(files, name, request.threads)) for name in names}
        for booth in booths.values():
            booth.ready()
        for at, drawn in enumerate(samples):
            say = _round_says(told, at, request.rounds)
            for name in turns(names, at):
                say(CONTENDERS[name].what)
                _turn(found, setting, name, booths[name], drawn)
            if set(ON_ONE_BATCH) <= booths.keys():
                _one_batch(found, booths, replace(drawn, first=BATCH), at, say)
    for name in MEASURED_IN_MEMORY if MEMORY in request.parts else ():
        told(f"peak memory of {CONTENDERS[name].what}")
        with Booth(files, name, request.threads) as fresh:
            found.growth_mib[name] = fresh.growth_mib(samples[0])
    return found


def _round_says(told: Told, at: int, rounds: int) -> Told:
    return lambda what: told(f"round {at + 1} of {rounds}: {what}")


def _turn(found: Measured, setting: Setting, name: str, booth: Booth, drawn: Drawn) -> None:
    entry = CONTENDERS[name]
    if not entry.beside_products:
        done = booth.run(drawn, entry.epochs)
    else:
        shapes = layer_shapes(setting.config)
        before = product_gflops(shapes, found.product_tokens)
        done = booth.run(drawn, entry.epochs)
        found.gflops.append(statistics.fmean([before, product_gflops(shapes, found.product_tokens)]))
    if entry.epochs > 1:
        first, *later = done.epoch_seconds()
        found.head_epochs.append((first, statistics.fmean(later)))
        return
    found.examples_per_second[name].append(done.examples_per_second)
    found.tokens_per_second[name].append(done.tokens_per_second)


def _one_batch(found: Measured, booths: dict[str, Booth], batch: Drawn, at: int, say: Told) -> None:
    """Steps on the first batch of the sample alone, which is drawn at random: what its padding costs, it costs both."""
    for name in turns(ON_ONE_BATCH, at):
        say(f"{CONTENDERS[name].what}, one batch of {BATCH}")
        found.on_one_batch[name].append(booths[name].run(batch, STEPS_ON_ONE_BATCH).examples_per_second)
