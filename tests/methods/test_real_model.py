"""The default model and real data: PASTA against its equation, and short cells of the hub tasks."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.errors import SourceError
from bench.grid import models
from bench.plugins import registry
from bench.sources.resolve import resolve
from bench.train.data import encode
from bench.train.model import context, load_model, load_tokenizer
from methods.pasta import PastaParams
from methods.pasta.adapter import add
from methods.pasta.attachment import attachment


@pytest.fixture(scope="module")
def minilm() -> Path:
    try:
        return resolve(models.find("minilm-l6").source).path
    except SourceError as error:
        pytest.skip(f"the default model is unavailable: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rt-polarity", "record-match"])
def test_pasta_is_its_equation_on_the_default_model_and_real_texts(
    minilm: Path, embedded: Callable[[str], Path], name: str
) -> None:
    """As tests/methods/pasta/test_equation.py on tiny models: one-hot matrices times vectors before each layer."""
    task = registry.tasks().get(name).plugin()
    tokenizer = load_tokenizer(minilm)
    data = encode(task, task.read(embedded(task.source))["test"][:32], tokenizer)
    inputs = data.batch(range(32)).inputs
    model, slow = (load_model(minilm, task.kind, task.num_labels).double().eval() for _ in range(2))
    template = context(task, tokenizer).template
    add(model, template, PastaParams(init_std=0.2)).double()
    slow.classifier.load_state_dict(model.classifier.state_dict())
    mine = attachment(model).adapter("default").vectors
    theirs = mine.detach().clone().requires_grad_(True)
    assert theirs.shape == (6, {"rt-polarity": 2, "record-match": 3}[name], 384)
    onehot = torch.stack(
        [row == place for place in range(1, len(template) + 1) for row in [ranks(inputs, template)]], 2
    )
    for index, layer in enumerate(slow.bert.encoder.layer):
        layer.register_forward_pre_hook(
            lambda module, args, at=index: (args[0] + onehot.double() @ theirs[at], *args[1:])
        )
    got, want = model(**inputs).logits, slow(**inputs).logits
    with torch.no_grad():
        attachment(model).use(None)
        assert (want - model(**inputs).logits).abs().max() > 0.01
    assert (got - want).abs().max() < 1e-9
    got.sin().sum().backward()
    want.sin().sum().backward()
    assert theirs.grad.abs().max() > 1e-4
    assert (mine.grad - theirs.grad).abs().max() < 1e-9


def ranks(inputs: dict[str, torch.Tensor], template: tuple[int, ...]) -> torch.Tensor:
    """At a special token how many there are up to it, 0 elsewhere: [batch, length]."""
    rows = []
    for tokens in inputs["input_ids"].tolist():
        seen = itertools.count(1)
        rows.append([next(seen) if token in template else 0 for token in tokens])
    return torch.tensor(rows)


SHORT = """
name = "short"
summary = "one short cell a task"
methods = ["pasta"]
tasks = ["glue-mrpc", "conll2003"]
seeds = [0]
[budget]
train_examples = 64
validation_examples = 16
test_examples = 64
choose = "best"
[recipes."*"]
epochs = 1
min_steps = 4
batch_size = 16
"""


@pytest.mark.slow
def test_hub_tasks_from_the_mirror_without_a_hub(minilm: Path, mirror: Path, tmp_path: Path) -> None:
    suite = tmp_path / "short.toml"
    suite.write_text(SHORT)
    done = subprocess.run(
        [sys.executable, "-m", "bench", "run", "--suite", suite, "--mirror", mirror, "--results", tmp_path, "--json"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["task"]: row for row in json.loads(done.stdout)}
    assert rows.keys() == {"glue-mrpc", "conll2003"}
    assert all(row["status"] == "ok" for row in rows.values())
    assert rows["glue-mrpc"]["trainable_params"] == 3 * 6 * 384  # a pair has a third special token
    assert rows["conll2003"]["trainable_params"] == 2 * 6 * 384
