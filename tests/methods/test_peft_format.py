"""Adapters of PEFT's methods are in PEFT's format where PEFT predicts the same from them, and only there."""

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tiny as tiny_bert
import tiny_encoders
import torch
from made import cell
from peft import PeftModel
from test_method_contract import DEFAULTS, MEMBERS, QUICK, VARIANTS

from bench.errors import NotApplicable
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.specs import build_method, parse
from bench.plugins.task import TaskContext
from bench.train import cell as cells
from bench.train import worker
from bench.train.adaptation import adapt
from bench.train.assignment import Assignment
from methods._peft import PeftMethod

KINDS = ("pair", "token-classification")
# What PEFT saves in another form than it trains, and a config without modules_to_save.
NEVER = ("peft:p_tuning", "peft:prefix_tuning[prefix_projection=true]", "peft:shira", "peft:trainable_tokens")
PROMPTS = ("prompt_tuning", "peft:prompt_tuning")


def build(spec: str) -> Method:
    return build_method(registry.methods(), parse(spec))


SPECS = [spec for spec in (*DEFAULTS, *VARIANTS, *MEMBERS) if isinstance(build(spec), PeftMethod)]
FAMILY_SPECS = ("lora", "ia3", "prompt_tuning", "prefix_tuning", "peft:vera[target_modules=all-linear]")


def moved(module: Any) -> Any:
    """With other numbers in everything that trains, so that what is not saved shows."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.05)
    return module


def is_pefts(folder: Path) -> bool:
    """Whether it is PEFT's format; else there is nothing that PEFT could read."""
    names = {file.name for file in folder.iterdir()}
    own = {"adapter.json", "adapter.safetensors"}
    assert names in (own, {"adapter.json", "adapter_config.json", "adapter_model.safetensors"})
    return names != own


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "spec", [s if s in (*DEFAULTS, *QUICK) else pytest.param(s, marks=pytest.mark.slow) for s in SPECS]
)
def test_peft_gives_the_same_logits(tiny: Any, spec: str, kind: str, tmp_path: Path) -> None:
    module = moved(tiny.adapted(build(spec), kind).module)
    build(spec).save(module, tmp_path)
    of_tokens = kind == "token-classification"
    assert is_pefts(tmp_path) != (spec.startswith(NEVER) or (spec.startswith(PROMPTS) and of_tokens))
    if is_pefts(tmp_path):
        theirs = PeftModel.from_pretrained(tiny.model(kind), tmp_path).eval()
        data = tiny.data(kind)
        assert torch.equal(tiny_bert.logits(theirs, data), tiny_bert.logits(module, data))


@pytest.mark.parametrize("spec", FAMILY_SPECS)
@pytest.mark.parametrize("family", tiny_encoders.NAMES)
def test_peft_gives_the_same_logits_on_every_family(family: str, spec: str, tmp_path: Path) -> None:
    """Heads have other parts and names: pre_classifier, pooler, dense."""
    try:
        module = moved(tiny_encoders.adapted(build(spec), family).module)
    except NotApplicable:
        pytest.skip("not applicable")
    build(spec).save(module, tmp_path)
    has_pooler = family in ("albert", "bert")  # in the backbone; elsewhere the head would read a virtual token
    assert is_pefts(tmp_path) == (spec != "prompt_tuning" or has_pooler)
    if is_pefts(tmp_path):
        theirs = PeftModel.from_pretrained(tiny_encoders.model(family), tmp_path).eval()
        inputs = tiny_encoders.inputs(family)
        with torch.no_grad():
            assert torch.equal(theirs(**inputs).logits, module(**inputs).logits)


@pytest.mark.parametrize("how", [{"pooling": "mean"}, {"pooling": "cls"}, {"lacks_pooler": True}])
@pytest.mark.parametrize("spec", ["lora", "prompt_tuning", "peft:vera"])
def test_peft_refuses_what_it_would_read_otherwise(tiny: Any, spec: str, how: dict[str, Any], tmp_path: Path) -> None:
    context = TaskContext(**{**vars(tiny.context("classification")), **how})
    module = adapt(tiny.model("classification"), build(spec), context, seeds.streams(0)).module
    build(spec).save(module, tmp_path)
    assert not is_pefts(tmp_path)
    with pytest.raises(ValueError, match=r"Can't find 'adapter_config\.json'"):
        PeftModel.from_pretrained(tiny.model("classification"), tmp_path)


PLUGIN = """
import random
from bench.plugins.task import Example, Task

class Films(Task):
    name, source, kind, metric, max_length = "films", "./nowhere", "classification", "accuracy", 16
    labels, pair = ("bad", "good"), True

    def read(self, path):
        def draw(seed, count):
            rng = random.Random(seed)
            rows = [rng.choices(["good", "bad", "film", "the"], k=rng.randint(2, 12)) for _ in range(count)]
            return [Example(" ".join(row), int(row.count("good") > row.count("bad")), pair="a film") for row in rows]

        return {"train": draw(1, 160), "validation": draw(2, 20), "test": draw(3, 100)}
"""
ALONE = """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model, adapter, texts = sys.argv[1:]
base = AutoModelForSequenceClassification.from_pretrained(model, num_labels=2)
tuned = PeftModel.from_pretrained(base, adapter).eval()
tokenizer = AutoTokenizer.from_pretrained(model)
found = []
for one, other in json.loads(texts):
    with torch.no_grad():
        inputs = tokenizer(one, other, truncation=True, max_length=16, return_tensors="pt")
        found.append(int(tuned(**inputs).logits.argmax()))
assert not {"bench", "methods"} & set(sys.modules)
print(json.dumps(found))
"""


@pytest.mark.parametrize("spec", ["lora", pytest.param("prefix_tuning", marks=pytest.mark.slow)])
def test_peft_alone_gives_a_cells_predictions(spec: str, tmp_path: Path) -> None:
    """The whole test split, in a process that imports PEFT and transformers, and nothing of this project."""
    plugin = tmp_path / "films.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    model = tiny_bert.save(tmp_path / "model", hidden_dropout_prob=0.0)
    made = cell(
        spec, params=build(spec).params.model_dump(mode="json"), task="films", profile=tiny_bert.profile(threads=1),
        recipe={"epochs": 6.0, "min_steps": 0, "batch_size": 8, "learning_rate": 1e-2},
    )  # fmt: skip
    job = Assignment(made, tmp_path, model, (plugin,), 1, tmp_path / "results", keep_adapter=True)
    with mock.patch.object(cells, "matmul_gflops", return_value=1.0), mock.patch.object(gc, "collect"):
        record, _ = worker.run_cell(job, lambda data: None)
    assert record.status == "ok", record.traceback
    assert set(record.predictions) == {0, 1}
    (adapter,) = (tmp_path / "results" / "adapters").iterdir()
    test = registry.tasks([plugin]).get("films").plugin().read(tmp_path)["test"]
    texts = json.dumps([(example.text, example.pair) for example in test])
    command = [sys.executable, "-I", "-c", ALONE, str(model), str(adapter), texts]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == list(record.predictions)
