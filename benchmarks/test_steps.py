"""Steps, passes and batches one by one: `pytest benchmarks/test_steps.py --benchmark-enable`.

No time is asserted. Without that option each piece runs once, as a test that it runs.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import tiny as tiny_bert
import torch

from bench.grid import models, seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.plugins.task import TaskContext
from bench.train.adaptation import Adapted, adapt
from bench.train.batches import epoch_batches
from bench.train.data import Encoded, encode
from bench.train.loop import loss_sum
from bench.train.model import init_head

METHODS = registry.methods().names()


def build(spec: str) -> Any:
    return build_method(registry.methods(), parse(spec))


def stepper(
    adapted: Adapted, inputs: dict[str, torch.Tensor], labels: torch.Tensor, update: bool
) -> Callable[[], float]:
    """A function that does one training step, or its forward and backward pass alone."""
    adapted.module.train()
    trained = [parameter for parameter in adapted.module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_sum("classification", adapted.module(**inputs).logits, labels) / len(labels)
        loss.backward()
        if update:
            optimizer.step()
        return float(loss.detach())

    return step


@pytest.mark.benchmark(group="a training step on a tiny model")
@pytest.mark.parametrize("method", METHODS)
def test_step(benchmark: Any, tiny: tiny_bert.Tiny, method: str) -> None:
    data: Encoded = tiny.data("classification")
    batch = data.batch(range(len(data)))
    step = stepper(tiny.adapted(build(method), "classification"), batch.inputs, batch.labels, update=True)
    assert 0 < benchmark(step) < 100


def inputs_of_32_texts() -> dict[str, torch.Tensor]:
    """32 texts of 32 tokens, special ones included: [32, 32] each."""
    shape = models.find("minilm-l6").shape
    assert shape is not None
    torch.manual_seed(0)
    input_ids = torch.randint(1000, 2000, (32, 32))
    input_ids[:, 0], input_ids[:, -1] = shape.single
    return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}


def adapted_by(name: str) -> Adapted:
    """A method on random weights of the default model's shape, without dropout."""
    import transformers

    shape = models.find("minilm-l6").shape
    assert shape is not None
    context = TaskContext("speed", "classification", False, 2, shape.single, 0)
    config = transformers.AutoConfig.for_model(
        **{**shape.config, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}, num_labels=2
    )
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    init_head(model, 0)
    return adapt(model, build(name), context, seeds.streams(0))


def passes() -> dict[str, Callable[[], float]]:
    """Forward and backward of three methods."""
    inputs, labels = inputs_of_32_texts(), torch.arange(32) % 2
    return {name: stepper(adapted_by(name), inputs, labels, update=False) for name in ("pasta", "lora", "head")}


@pytest.mark.benchmark(group="forward and backward of 32 x 32 tokens, minilm-l6's shape", min_rounds=20)
@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize("method", ["pasta", "lora", "head"])
def test_forward_and_backward(benchmark: Any, method: str) -> None:
    assert 0 < benchmark(passes()[method]) < 100


@pytest.mark.benchmark(group="forward alone of 32 x 32 tokens, minilm-l6's shape", min_rounds=20)
@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize("method", ["pasta", "head"])
def test_forward(benchmark: Any, method: str) -> None:
    module, inputs = adapted_by(method).module.eval(), inputs_of_32_texts()

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return module(**inputs).logits

    assert benchmark(forward).shape == (32, 2)


@pytest.mark.benchmark(group="building the batches of an epoch of 2,000 examples")
def test_batch_building(benchmark: Any, tiny: tiny_bert.Tiny) -> None:
    """Grouping by length, padding, and tensors: what a step waits for before it begins."""
    task = tiny_bert.task("classification")
    data = encode(task, tiny_bert.examples("classification", 2000), tiny.tokenizer)

    def epoch() -> int:
        return sum(data.batch(indices).examples for indices in epoch_batches(len(data), 32, 0))

    assert benchmark(epoch) == 2000


@pytest.mark.benchmark(group="pasta's forward and backward over others', in turns")
@pytest.mark.usefixtures("all_cores")
def test_pasta_against_head_and_lora_in_turns(benchmark: Any, capsys: Any) -> None:
    """One round is one pass of each method, so that whatever else the machine does falls on all of them."""
    steps = passes()
    taken: dict[str, list[float]] = {name: [] for name in steps}

    def once_each() -> None:
        for name, step in steps.items():
            started = time.perf_counter()
            assert 0 < step() < 100
            taken[name].append(time.perf_counter() - started)

    benchmark.pedantic(once_each, rounds=1 if benchmark.disabled else 30, warmup_rounds=0 if benchmark.disabled else 3)
    for other in ("head", "lora"):
        ratios = [mine / its for mine, its in zip(taken["pasta"], taken[other], strict=True)]
        low, middle, high = (
            (statistics.quantiles(ratios, n=20)[at] for at in (0, 9, 18)) if len(ratios) > 1 else 3 * ratios
        )
        benchmark.extra_info[f"pasta / {other}"] = {"p5": low, "median": middle, "p95": high}
        if not benchmark.disabled:
            with capsys.disabled():
                print(f"\npasta / {other}: {middle:.2f} (p5 {low:.2f}, p95 {high:.2f}, {len(ratios)} rounds)")
