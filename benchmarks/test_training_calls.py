"""Whole training calls, this loop's and others': `pytest benchmarks/test_training_calls.py --benchmark-enable`.

The same contenders as in `python -m bench speed`, which takes them in turns on real data and gives ratios with
intervals. Here each is timed on its own, for comparing one of them between commits. No time is asserted.
"""

from typing import Any

import pytest

from bench.speed.catalogue import CONTENDERS
from bench.speed.products import layer_shapes, product_gflops
from bench.speed.setting import BATCH, Setting

EXAMPLES = 5 * BATCH


@pytest.mark.benchmark(group=f"a training call of {EXAMPLES} examples")
@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize("name", CONTENDERS)
def test_training_call(benchmark: Any, setting: Setting, name: str) -> None:
    contender, recipe = CONTENDERS[name].make(setting, 0), setting.recipe(CONTENDERS[name].method)
    data = setting.sample(EXAMPLES, 0)

    def prepared() -> tuple[tuple[Any], dict[str, Any]]:
        return (contender.prepare(data, recipe, 0),), {}

    steps = benchmark.pedantic(
        lambda call: call(), setup=prepared, rounds=1 if benchmark.disabled else 10, warmup_rounds=0
    )
    assert sum(steps) == data.lengths.sum()


@pytest.mark.benchmark(group="making the training call: data set, sampler, arguments")
@pytest.mark.parametrize("name", ["lora", "trainer"])
def test_preparation(benchmark: Any, setting: Setting, name: str) -> None:
    contender, recipe = CONTENDERS[name].make(setting, 0), setting.recipe("lora")
    data = setting.sample(EXAMPLES, 0)
    assert callable(benchmark(lambda: contender.prepare(data, recipe, 0)))


@pytest.mark.benchmark(group="products of a batch's tokens with the model's layers")
@pytest.mark.usefixtures("all_cores")
def test_products(benchmark: Any, setting: Setting) -> None:
    shapes = layer_shapes(setting.config)
    assert benchmark(lambda: product_gflops(shapes, tokens=BATCH * 16)) > 0
