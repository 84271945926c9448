"""This project's training loop beside others, on the same examples: `python benchmarks/training_loops.py`.

Prints ratios of throughput, measured side by side in one run: LoRA against transformers' Trainer with PEFT, and
against the loop of PEFT's own method comparison; PASTA against its authors' formulation, and against full fine-tuning.
Each contender runs in a process of its own, with every core. A round is one training call of each, one after the
other, so that whatever else the machine does falls on all of them; ratios are taken within a round, and the contender
that begins changes from round to round. With `--scores` it compares the test scores that the loops reach instead.
Takes about 5 minutes on two cores (`--scores` 15); leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from contenders import BATCH, CONTENDERS, Prepared, Setting
from torch.optim.optimizer import register_optimizer_step_post_hook

from bench import profiles
from bench.errors import BenchError, UsageError
from bench.grid import models, seeds
from bench.measure import environment
from bench.measure.flops import counter
from bench.measure.memory import return_freed_memory
from bench.measure.time import DROPPED_STEPS
from bench.plugins import registry
from bench.plugins.metric import score
from bench.profiles.probe import cpu_cores_allowed
from bench.runner.backend import waiting_threads, worker_environment
from bench.sources.resolve import resolve
from bench.stats.paired import Sample, compare_samples
from bench.stats.summary import summarise
from bench.text import text_table
from bench.train.data import Encoded, encode
from bench.train.evaluation import predict

COMPARISONS = (  # what is compared with what
    ("lora", "trainer"),
    ("lora", "trainer-grouped"),
    ("lora", "trainer-grouped-large"),
    ("lora", "peft-loop"),
    ("pasta", "full"),
    ("pasta", "pasta-reference"),
)
ONE_BATCH = {"pasta", "pasta-reference"}  # compared on a single batch as well, where padding costs both the same
SCORED = ("lora", "trainer", "trainer-grouped")


class Run(NamedTuple):
    """One training call: its throughput after the first DROPPED_STEPS steps, its mean loss, and, for PASTA, its share
    of the rate of matrix products.
    """

    examples_per_second: float
    loss: float
    share: float | None = None


def run(prepared: Prepared, examples: int) -> Run:
    """Time a training call, from its first counted step to its end: batches, collating and optimiser included.

    examples: of the whole call. Throughput counts tokens without padding, in examples of mean length: PEFT's loop and
    the grouped Trainer begin with the longest examples, so the dropped steps are not alike.
    """
    masks: list[Any] = []
    steps: list[tuple[float, int]] = []  # of each optimiser step: when it ended, and attention masks seen until then
    counted = prepared.module.register_forward_pre_hook(
        lambda module, args, inputs: masks.append(inputs["attention_mask"]), with_kwargs=True
    )
    timed = register_optimizer_step_post_hook(lambda *_: steps.append((time.perf_counter(), len(masks))))
    try:
        loss = prepared.train()
        ended = time.perf_counter()
    finally:
        counted.remove()
        timed.remove()
    tokens = [int(mask.sum()) for mask in masks]
    started, first = steps[DROPPED_STEPS - 1]
    return Run(sum(tokens[first:]) / (ended - started) * examples / sum(tokens), loss)


def run_alone(setting: Setting, name: str, threads: int, examples: tuple[int, int, int | None], epochs: float) -> Run:
    """What a contender's process does in a round; examples: the arguments of `Setting.sample`."""
    torch.set_num_threads(threads)
    contender, data = CONTENDERS[name], setting.sample(*examples)
    prepared = contender.prepare(setting, data, setting.recipe(contender.method, epochs), 0)
    rates = [product_rate(prepared.module, data)]
    done = run(prepared, round(len(data) * epochs))
    if name == "pasta":
        rates.append(product_rate(prepared.module, data))
        flops = flops_per_token(prepared.module, data) * data.lengths.mean()
        done = done._replace(share=done.examples_per_second * flops / statistics.fmean(rates))
    return_freed_memory()  # while the others run
    return done


def product_rate(module: Any, data: Encoded) -> float:
    """FLOP/s of the products in a forward pass of the model's linear layers, for a batch's tokens without padding."""
    tokens = round(BATCH * data.lengths.mean())
    layers = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear) and layer.out_features > 2]
    inputs = {width: torch.rand(tokens, width) for width in {layer.in_features for layer in layers}}
    seconds = []
    with torch.inference_mode():
        for _ in range(5):
            started = time.perf_counter()
            for layer in layers:
                torch.matmul(inputs[layer.in_features], layer.weight.T)
            seconds.append(time.perf_counter() - started)
    return sum(2 * tokens * layer.weight.numel() for layer in layers) / statistics.median(seconds)


def flops_per_token(module: Any, data: Encoded) -> float:
    """FLOPs of a forward and backward pass for each token of examples of one length, about the mean."""
    middle = np.abs(data.lengths - data.lengths.mean()).argmin()
    batch = data.batch([middle] * BATCH)
    with counter() as counted:
        module(**batch.inputs).logits.sum().backward()
    module.zero_grad()
    return counted.get_total_flops() / batch.tokens


def start(name: str) -> ProcessPoolExecutor:
    """A process for one contender, this project's with the environment of a worker that trains cells."""
    with patch.dict(os.environ, worker_environment() if CONTENDERS[name].ours else {}):
        process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        process.submit(os.getpid).result()  # takes over the environment of this moment
    return process


def measure(setting: Setting, methods: list[str], rounds: int, examples: int, threads: int) -> dict[str, Any]:
    """Rounds of every contender that these methods are compared with: throughput, losses and ratios by round."""
    pairs = [pair for pair in COMPARISONS if pair[0] in methods]
    names = [name for name in CONTENDERS if any(name in pair for pair in pairs)]
    runs: dict[str, list[Run]] = {name: [] for name in names}
    one_batch: dict[str, list[Run]] = {name: [] for name in names if set(names) >= ONE_BATCH and name in ONE_BATCH}
    with ExitStack() as processes:
        started = {name: processes.enter_context(start(name)) for name in names}
        for at in range(rounds):
            seed = seeds.derive(at, "speed")
            for name in names[at % len(names) :] + names[: at % len(names)]:
                print(f"round {at + 1} of {rounds}: {CONTENDERS[name].what}", file=sys.stderr)
                task = started[name].submit(run_alone, setting, name, threads, (examples, seed, None), 1)
                runs[name].append(task.result())
            for name in list(one_batch)[:: (-1) ** at]:
                task = started[name].submit(run_alone, setting, name, threads, (examples, seed, BATCH), 9)
                one_batch[name].append(task.result())
    ratios = [ratio(f"{first} / {second}", quotients(runs[first], runs[second])) for first, second in pairs]
    if one_batch:
        ratios.append(ratio("pasta / pasta-reference, one batch", quotients(*one_batch.values())))
    if shares := [each.share for each in runs.get("pasta", []) if each.share is not None]:
        ratios.append(ratio("pasta / rate of matrix products", shares))
    return {
        "contenders": [
            {
                "name": name,
                "what": CONTENDERS[name].what,
                "examples_per_second": [each.examples_per_second for each in found],
                "mean_loss": [each.loss for each in found],
            }
            for name, found in runs.items()
        ],
        "ratios": ratios,
    }


def quotients(first: list[Run], second: list[Run]) -> list[float]:
    """Throughput of one over the other, by round."""
    return [a.examples_per_second / b.examples_per_second for a, b in zip(first, second, strict=True)]


def ratio(name: str, ratios: list[float]) -> dict[str, Any]:
    """Ratios by round, their median, and the 95 % interval of their geometric mean."""
    summary = summarise([math.log(each) for each in ratios])
    low, high = (None, None) if summary is None else (summary.ci95_low, summary.ci95_high)
    return {
        "ratio": name,
        "median": statistics.median(ratios),
        "ci95_low": None if low is None else math.exp(low),
        "ci95_high": None if high is None else math.exp(high),
        "rounds": ratios,
    }


def scores(setting: Setting, rounds: int, examples: int) -> dict[str, Any]:
    """Test scores of LoRA by each loop with one recipe, a seed per round, and the differences from this project's.

    At one seed all start from the same head and LoRA matrices and see the same examples, in an order and with dropout
    of their own. Differences are paired by seed and by test example (`bench.stats.paired`).
    """
    task, recipe = setting.task, setting.recipe("lora")
    metric = registry.metrics().get(task.metric).plugin()
    test = encode(task, setting.splits["test"], setting.tokenizer)
    by_seed: dict[str, dict[int, float]] = {name: {} for name in SCORED}
    shares: dict[str, dict[int, Any]] = {name: {} for name in SCORED}
    for seed in range(rounds):
        data = setting.sample(examples, seed)
        for name in SCORED:
            print(f"seed {seed}: {CONTENDERS[name].what}", file=sys.stderr)
            prepared = CONTENDERS[name].prepare(setting, data, recipe, seed)
            prepared.train()
            scored = predict(prepared.module, test, profiles.load("cpu")), test.references, task.labels
            by_seed[name][seed] = score([metric], *scored)[task.metric] or 0.0
            shares[name][seed] = metric.shares(*scored)
    samples = {
        name: Sample(by_seed[name], None if any(parts is None for parts in found.values()) else found)
        for name, found in shares.items()
    }
    rows = []
    for name in SCORED:
        paired = compare_samples(samples[SCORED[0]], samples[name]) if name != SCORED[0] else None
        rows.append(
            {
                "name": name,
                "what": CONTENDERS[name].what,
                "scores": list(by_seed[name].values()),
                "difference": paired and paired.difference,
                "ci95_low": paired and paired.ci95_low,
                "ci95_high": paired and paired.ci95_high,
            }
        )
    return {"metric": task.metric, "test_examples": len(test), "epochs": recipe.epochs, "loops": rows}


def text(found: dict[str, Any]) -> str:
    """Figures as tables for a terminal."""
    if "loops" in found:
        rows = [
            {
                "loop": loop["what"],
                found["metric"]: f"{statistics.fmean(loop['scores']):.4f}",
                "lora - it": "" if loop["difference"] is None else f"{loop['difference']:+.4f}",
                "95 % interval": interval(loop, "+.4f"),
            }
            for loop in found["loops"]
        ]
        return text_table(rows)
    contenders = [
        {
            "contender": each["name"],
            "what": each["what"],
            "examples/s": f"{statistics.median(each['examples_per_second']):,.0f}",
            "rounds": f"{min(each['examples_per_second']):,.0f} to {max(each['examples_per_second']):,.0f}",
            "mean loss": f"{statistics.fmean(each['mean_loss']):.4f}",
        }
        for each in found["contenders"]
    ]
    ratios = [
        {"ratio": each["ratio"], "median": f"{each['median']:.2f}", "95 % of the mean": interval(each, ".2f")}
        for each in found["ratios"]
    ]
    return "\n\n".join(text_table(rows) for rows in (contenders, ratios))


def interval(row: dict[str, Any], form: str) -> str:
    return "" if row["ci95_low"] is None else f"{row['ci95_low']:{form}} to {row['ci95_high']:{form}}"


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="pasta,lora", help="pasta, lora or both (the default)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, or seeds with --scores (5)")
    parser.add_argument("--examples", type=int, help="training examples: 512 a round, 1,000 with --scores")
    parser.add_argument("--threads", type=int, default=cpu_cores_allowed(), help="of each contender (all cores)")
    parser.add_argument("--model", default="minilm-l6", help="a model's name or folder")
    parser.add_argument("--task", default="rt-polarity", help="a classification of texts or pairs")
    parser.add_argument("--plugin", type=Path, action="append", default=[], help="a file with that task")
    parser.add_argument("--scores", action="store_true", help="compare test scores instead of throughput")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    methods, examples = asked.methods.split(","), asked.examples or (1000 if asked.scores else 512)
    os.environ.update(waiting_threads())  # for every contender; its processes take it over
    torch.set_num_threads(asked.threads)
    try:
        if unknown := set(methods) - {first for first, _ in COMPARISONS}:
            raise UsageError(f"--methods takes pasta and lora, not {', '.join(sorted(unknown))}.")
        if not asked.scores and examples < (DROPPED_STEPS + 1) * BATCH:
            raise UsageError(f"--examples must be {(DROPPED_STEPS + 1) * BATCH} or more: the first steps do not count.")
        data = resolve(registry.tasks(asked.plugin).get(asked.task).plugin.source).path
        setting = Setting(resolve(models.find(asked.model).source).path, asked.task, data, tuple(asked.plugin))
        if asked.scores:
            found = scores(setting, asked.rounds, examples)
        else:
            examples -= examples % BATCH
            found = measure(setting, methods, asked.rounds, examples, asked.threads)
    except BenchError as error:
        parser.error(str(error))
    about = {"model": asked.model, "task": asked.task, "rounds": asked.rounds, "examples_per_round": examples}
    about |= {"threads": asked.threads, "batch_size_examples": BATCH, "dropped_steps": DROPPED_STEPS}
    print(
        json.dumps({**about, "environment": environment.snapshot(), **found}, indent=2) if asked.json else text(found)
    )


if __name__ == "__main__":
    main()
