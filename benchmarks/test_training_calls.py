"""Whole training calls, this loop's and others': `pytest benchmarks/test_training_calls.py --benchmark-enable`.

The same contenders as in `python benchmarks/training_loops.py`, which alternates them on real data and gives ratios
with intervals. Here each is timed on its own, for comparing one of them between commits. No time is asserted.
"""

from typing import Any

import pytest
from contenders import BATCH, CONTENDERS, Setting

EXAMPLES = 5 * BATCH


@pytest.mark.benchmark(group=f"a training call of {EXAMPLES} examples")
@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize("name", CONTENDERS)
def test_training_call(benchmark: Any, setting: Setting, name: str) -> None:
    contender, data = CONTENDERS[name], setting.sample(EXAMPLES, 0)
    recipe = setting.recipe(contender.method, 1)

    def prepared() -> tuple[tuple[Any], dict[str, Any]]:
        return (contender.prepare(setting, data, recipe, 0),), {}

    loss = benchmark.pedantic(
        lambda made: made.train(), setup=prepared, rounds=1 if benchmark.disabled else 10, warmup_rounds=0
    )
    assert 0 < loss < 100


@pytest.mark.benchmark(group="making the training call: model, data set, sampler, arguments")
@pytest.mark.parametrize("name", ["lora", "trainer"])
def test_preparation(benchmark: Any, setting: Setting, name: str) -> None:
    contender, data = CONTENDERS[name], setting.sample(EXAMPLES, 0)
    recipe = setting.recipe("lora", 1)
    assert callable(benchmark(lambda: contender.prepare(setting, data, recipe, 0)).train)
