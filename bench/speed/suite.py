"""All of it in one run: rounds of all contenders in turns, and what is read off them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench import seeds
from bench.data import Encoded
from bench.errors import UsageError
from bench.measure.time import DROPPED_STEPS
from bench.registry import suggest
from bench.speed.catalogue import CONTENDERS
from bench.speed.contender import Contender, run
from bench.speed.memory import growth_mib
from bench.speed.ours import Ours
from bench.speed.products import Work, layer_shapes, product_gflops, work_per_token
from bench.speed.setting import BATCH, Files, Setting
from bench.speed.turns import turns

HEAD, MEMORY = "head", "memory"
PARTS = (*CONTENDERS, HEAD, MEMORY)
MEASURED_IN_MEMORY = ("pasta", "full")
ON_ONE_BATCH = ("pasta", "pasta-reference")
STEPS_ON_ONE_BATCH = DROPPED_STEPS + 6
HEAD_EPOCHS = 3

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
    return request.rounds * (len(contenders) + one_batch + (HEAD in request.parts)) + memory


def measure(request: Request, told: Told) -> Measured:
    """Measure everything asked for. torch has so many threads meanwhile.

    Raises:
        BenchError: for a task, a model or a number of examples that does not do.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(request.threads)
    try:
        return _measure(request, told)
    finally:
        torch.set_num_threads(threads)


def _measure(request: Request, told: Told) -> Measured:
    setting = Setting(request.files)
    samples = [setting.sample(request.examples, seeds.derive(at, "speed")) for at in range(request.rounds)]
    found = Measured(request, setting.task.name, work_per_token(setting.config, samples[0].lengths))
    contenders: dict[str, Contender] = {
        name: CONTENDERS[name].make(setting, 0) for name in request.parts if name in CONTENDERS
    }
    if HEAD in request.parts:
        contenders[HEAD] = Ours(setting, "head", 0, dropout=0.0)  # its recipe's, by which features can be kept
    for at, data in enumerate(samples):
        say = _round_says(told, at, request.rounds)
        for name in turns([*contenders], at):
            say(CONTENDERS[name].what if name in CONTENDERS else "this loop, the head alone")
            if name == HEAD:
                _head(found, setting, contenders[name], data, at)
            else:
                _turn(found, setting, name, contenders[name], data, at)
        if set(ON_ONE_BATCH) <= contenders.keys():
            _one_batch(found, setting, contenders, data, at, say)
    del contenders  # a process of their own would not see them, but the machine's memory does
    if MEMORY in request.parts:
        for name in MEASURED_IN_MEMORY:
            told(f"peak memory of {CONTENDERS[name].what}")
            found.growth_mib[name] = growth_mib(request.files, name, request.examples, 0, request.threads)
    return found


def _round_says(told: Told, at: int, rounds: int) -> Told:
    return lambda what: told(f"round {at + 1} of {rounds}: {what}")


def _turn(found: Measured, setting: Setting, name: str, contender: Contender, data: Encoded, seed: int) -> None:
    recipe = setting.recipe(CONTENDERS[name].method)
    if name != "pasta":
        done = run(contender, data, recipe, seed)
    else:
        shapes, tokens = layer_shapes(setting.config), round(float(data.lengths.mean()) * BATCH)
        before = product_gflops(shapes, tokens)
        done = run(contender, data, recipe, seed)
        found.gflops.append(statistics.fmean([before, product_gflops(shapes, tokens)]))
        found.product_tokens = tokens
    found.examples_per_second[name].append(done.examples_per_second)
    found.tokens_per_second[name].append(done.tokens_per_second)


def _one_batch(
    found: Measured, setting: Setting, contenders: dict[str, Contender], data: Encoded, seed: int, say: Told
) -> None:
    """Steps on the first batch of the sample alone, which is drawn at random: what its padding costs, it costs both."""
    batch = _first(data, BATCH)
    for name in turns(ON_ONE_BATCH, seed):
        say(f"{CONTENDERS[name].what}, one batch of {BATCH}")
        recipe = setting.recipe(CONTENDERS[name].method, epochs=STEPS_ON_ONE_BATCH)
        found.on_one_batch[name].append(run(contenders[name], batch, recipe, seed).examples_per_second)


def _head(found: Measured, setting: Setting, contender: Contender, data: Encoded, seed: int) -> None:
    first, *later = run(contender, data, setting.recipe("head", epochs=HEAD_EPOCHS, dropout=0.0), seed).epoch_seconds()
    found.head_epochs.append((first, statistics.fmean(later)))


def _first(data: Encoded, examples: int) -> Encoded:
    return data.part(range(examples))
