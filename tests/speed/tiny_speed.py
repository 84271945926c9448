"""A tiny BERT and a task with training examples enough for a few batches, as files."""

from pathlib import Path

import tiny

from bench.speed.setting import Files

EXAMPLES = 200

TASK = """
from bench.check.examples import examples
from bench.plugins.task import Task

class Short{pair}(Task):
    name = "short{pair}"
    summary = "made up"
    kind = {kind!r}
    pair = {pair!r} == "Pair"
    source = {source!r}
    labels = ("no", "maybe", "yes")
    metric = {metric!r}
    max_length = 16

    def read(self, path):
        made = examples("pair" if self.pair else "classification", 200, seed=1)
        return {{"train": made, "validation": made[:8], "test": examples("pair" if self.pair else
                "classification", 40, seed=2)}}
"""


def write(folder: Path, *, pair: bool = False, kind: str = "classification", metric: str = "accuracy") -> Files:
    """A tiny model's folder and a task's file in this folder."""
    model = folder / "tiny-bert"
    tiny.save(model)
    plugin = folder / "short.py"
    suffix = "Pair" if pair else ""
    plugin.write_text(TASK.format(pair=suffix, kind=kind, metric=metric, source=str(plugin)), encoding="utf-8")
    return Files(model, f"short{suffix}", plugin, (plugin,))
