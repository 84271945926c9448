"""What benchmarks/gpu.sh trains on: a random model of bert-large's size, a made-up task, and a suite, as files.

    python benchmarks/gpu_setting.py FOLDER [large|tiny]

Scores of a random model mean nothing. Its memory and its speed are those of a pretrained one of its size.
"""

from __future__ import annotations

import sys
from pathlib import Path

TRAIN = {"large": 512, "tiny": 64}  # examples; half as many are for the test
TASK = """
import numpy as np
from bench.check.examples import WORDS
from bench.plugins.task import Example, Task

class Marked(Task):
    name = "marked"
    summary = "made up: whether a text of up to 128 tokens has the word street in it"
    kind = "classification"
    source = {source!r}
    labels = ("no", "yes")
    metric = "accuracy"
    max_length = 128

    def read(self, path):
        draw = np.random.default_rng(0)
        plain = [word for word in WORDS if not word.startswith("##") and word != "street"]

        def example():
            words, label = draw.choice(plain, size=draw.integers(20, 150)).tolist(), int(draw.integers(2))
            return Example(" ".join(["street" if label else "road", *words]), label)

        counts = {{"train": {train}, "validation": 1, "test": {test}}}
        return {{name: [example() for _ in range(count)] for name, count in counts.items()}}
"""
SUITE = """
name = "gpu"
summary = "every method for some fifty steps on a random model"
methods = {methods!r}
tasks = ["marked"]
seeds = [0]
model = {model!r}

[budget]
train_examples = {train}
validation_examples = 0
test_examples = {test}
epochs_scale = {scale}

[recipes.head]
min_steps = {head_steps}  # its own length would take most of the time
"""


def write(folder: Path, size: str) -> None:
    """Write model, task and suite into a folder."""
    from transformers import BertConfig, BertModel

    from bench.check.encoder import tiny_config, tiny_tokenizer
    from bench.grid import models
    from bench.plugins import registry

    shape = models.find("bert-large-uncased").shape
    assert shape is not None
    config = BertConfig(**shape.config) if size == "large" else tiny_config(max_position_embeddings=512)
    model, task = folder / f"random-{size}", folder / "marked.py"
    BertModel(config).save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    train, test = TRAIN[size], TRAIN[size] // 2
    task.write_text(TASK.format(source="./marked.py", train=train, test=test), encoding="utf-8")
    scale, head_steps = (0.5, 500) if size == "large" else (0.02, 5)
    names, where = registry.methods().names(), f"./{model.name}"
    suite = SUITE.format(methods=names, model=where, train=train, test=test, scale=scale, head_steps=head_steps)
    (folder / "gpu.toml").write_text(suite, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "large")
