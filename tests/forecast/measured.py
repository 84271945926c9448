"""The memory that training a method really takes, in a process of its own: `measured.py FOLDER METHOD BATCH LENGTH`.

As a cell does it: FOLDER/model loaded, the method applied, a memory window around steps of the loop. Printed
as JSON: growth_mib, peak_mib, and worker_mib, the resident size before that model, when the libraries had been used
once (by a step on FOLDER/tiny).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

STEPS = 4


def main(folder: str, name: str, batch_size: int, length: int) -> None:
    import psutil
    import torch

    from bench import profiles
    from bench.grid import seeds
    from bench.measure.memory import PeakMemory
    from bench.plugins import registry
    from bench.plugins.specs import build_method, parse
    from bench.plugins.task import TaskContext
    from bench.train import kernels
    from bench.train.adaptation import adapt
    from bench.train.data import Batch
    from bench.train.loop import TrainState, update
    from bench.train.model import load_config, load_model, quiet_libraries

    quiet_libraries()
    profile = profiles.load("cpu-2core")
    profiles.apply(profile)
    context = TaskContext("measured", "classification", False, 2, (101, 102), 0)

    def trained(folder: Path, batch_size: int, length: int, steps: int) -> PeakMemory:
        method = build_method(registry.methods(), parse(name))
        recipe = method.recipe(context, load_config(folder))
        adapted = adapt(load_model(folder, "classification", 2, recipe.dropout), method, context, seeds.streams(0))
        kernels.install(adapted.module, "16-bit")
        module = adapted.module
        module.train()
        state = TrainState.of(module, adapted.head, recipe, steps)
        ids = torch.randint(200, 300, (batch_size, length))
        ids[:, 0], ids[:, -1] = 101, 102
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
        batch = Batch(inputs, torch.zeros(batch_size, dtype=torch.int64), batch_size, batch_size, batch_size * length)
        with PeakMemory("cpu") as window:
            for _ in range(steps):
                update(state, [batch], "classification", profile)
                state.optimizer.zero_grad(set_to_none=True)
        return window

    trained(Path(folder) / "tiny", 2, 8, 1)
    worker = psutil.Process().memory_info().rss / 2**20
    window = trained(Path(folder) / "model", batch_size, length, STEPS)
    print(json.dumps({"growth_mib": window.growth_mib, "peak_mib": window.peak_mib, "worker_mib": worker}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
