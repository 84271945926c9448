"""One training step of each method, for pytest-benchmark: `pytest tests/test_step_speed.py --benchmark-enable`.

No time is asserted. Without that option each step runs once, as a test that it runs.
"""

from typing import Any

import pytest
import tiny as tiny_bert
import torch

from bench import registry
from bench.data import Encoded
from bench.specs import Spec
from bench.training import loss_sum

METHODS = registry.methods().names()


@pytest.mark.parametrize("method", METHODS)
def test_step(benchmark: Any, tiny: tiny_bert.Tiny, method: str) -> None:
    plugin = registry.build_method(registry.methods(), Spec(method, {}))
    adapted = tiny.adapted(plugin, "classification")
    adapted.module.train()
    data: Encoded = tiny.data("classification")
    batch = data.batch(range(len(data)))
    trained = [parameter for parameter in adapted.module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_sum(data.kind, adapted.module(**batch.inputs).logits, batch.labels) / batch.scored
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    assert 0 < benchmark(step) < 100
