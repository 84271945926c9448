"""A tiny BERT without dropout, and a task with training examples for a few batches, as files."""

from pathlib import Path

import tiny

EXAMPLES = 200
TASK = """
from bench.check.examples import examples
from bench.plugins.task import Task

class Short(Task):
    name = "short"
    summary = "made up"
    kind = "classification"
    source = {source!r}
    labels = ("no", "maybe", "yes")
    metric = "accuracy"
    max_length = 16

    def read(self, path):
        train = examples("classification", 200, seed=1)
        return {{"train": train, "validation": train[:8], "test": examples("classification", 40, seed=2)}}
"""


def write(folder: Path) -> dict[str, str]:
    """Write the model and the task into a folder; returns options of a command that choose them."""
    tiny.save(folder / "tiny-bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    plugin = folder / "short.py"
    plugin.write_text(TASK.format(source=str(plugin)), encoding="utf-8")
    return {"--model": str(folder / "tiny-bert"), "--task": "short", "--plugin": str(plugin)}
