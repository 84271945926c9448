"""`python -m methods.pasta.attention`: the measure against attention computed by hand, and what the command writes."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny as tiny_bert
import tiny_encoders as families
import tiny_grid
import torch
import transformers
from commandline import Bench, Done
from tiny_grid import TinyGrid

from bench.errors import UsageError
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.plugins.task import Example
from bench.train.adaptation import adapt
from bench.train.model import backbone
from bench.train.tokens import tokenise
from methods.pasta import attention
from methods.pasta.attention import attention_maps, measure, slot_names

HEADS = 4


def of(tokenizer: Any, *written: str, pair: bool = False) -> Any:
    examples = [Example(text, 0, "bad road" if pair else None) for text in written]
    return tokenise(tiny_bert.task("pair" if pair else "classification"), examples, tokenizer)


def eager(model: Any) -> Any:
    model.set_attn_implementation("eager")
    return model


def measured(tiny: Any, module: Any, encoding: Any) -> pd.DataFrame:
    return measure(eager(module), encoding, slot_names(tiny.tokenizer, encoding), "before")


# The measure


def attention_by_hand(weights: dict[str, np.ndarray], ids: list[int], segments: list[int]) -> np.ndarray:
    """BERT's attention on one unpadded text in float64, from its weights: [layers, heads, length, length]."""
    erf = np.vectorize(math.erf)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-12)
        return (x - x.mean(axis=-1, keepdims=True)) / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    table = {kind: weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")}
    x = table["word"][ids] + table["position"][: len(ids)] + table["token_type"][segments]
    x = norm(x, "embeddings.LayerNorm")
    found = []
    for layer in range(tiny_bert.LAYERS):
        at = f"encoder.layer.{layer}"
        query, key, value = (linear(x, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
        size = tiny_bert.HIDDEN // HEADS
        heads, mixed = [], []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = np.exp(query[:, part] @ key[:, part].T / np.sqrt(size))
            heads.append(scores / scores.sum(axis=1, keepdims=True))
            mixed.append(heads[-1] @ value[:, part])
        found.append(heads)
        x = norm(linear(np.hstack(mixed), f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
        inner = linear(x, f"{at}.intermediate.dense")
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = norm(linear(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
    return np.array(found)


@pytest.mark.parametrize("pair", [False, True])
def test_shares_are_those_computed_by_hand(tiny: Any, pair: bool) -> None:
    # "[SEP]" in a text is five characters or so, and no special token. An empty text cannot be measured.
    encoding = of(tiny.tokenizer, "the film is very good", "bad", "not [SEP] good", *([] if pair else [""]), pair=pair)
    names = ["share_[CLS]", "share_[SEP]_1", "share_[SEP]_2"] if pair else ["share_[CLS]", "share_[SEP]"]
    weights = {name: tensor.double().numpy() for name, tensor in tiny_bert.safetensors(tiny.path).items()}
    expected = np.zeros((len(names) + 2, tiny_bert.LAYERS, HEADS))
    model = tiny.model("pair" if pair else "classification")
    for at, ids in enumerate(encoding["input_ids"][:3]):
        maps = attention_by_hand(weights, ids, encoding["token_type_ids"][at])
        np.testing.assert_allclose(attention_maps(eager(model), encoding, at), maps, rtol=0, atol=1e-5)
        special = [place for place, token in enumerate(ids) if token in (tiny_bert.CLS, tiny_bert.SEP)]
        ordinary = [place for place in range(len(ids)) if place not in special]
        assert len(special) == len(names)
        for slot, place in enumerate(special):
            expected[slot] += sum(maps[:, :, start, place] for start in ordinary) / len(ordinary) / 3
        expected[-2] += sum(maps[:, :, a, b] for a in ordinary for b in ordinary) / len(ordinary) / 3
        expected[-1] += len(special) / len(ids) / 3
    assert expected[:-2].sum(axis=0).std() > 0.05  # the heads differ, so a mixed-up one would show
    found = measured(tiny, model, encoding)
    columns = [*names, "ordinary_share", "uniform_share"]
    np.testing.assert_allclose(found[columns].to_numpy().T.reshape(expected.shape), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found["special_share"] + found["ordinary_share"], 1, rtol=0, atol=1e-6)


def test_nothing_to_measure_is_an_error(tiny: Any) -> None:
    encoding = of(tiny.tokenizer, "good film")
    encoding["special_tokens_mask"] = [[0] * len(ids) for ids in encoding["input_ids"]]
    for texts in (of(tiny.tokenizer, "", ""), encoding):
        with pytest.raises(UsageError, match="nothing to measure"):
            measured(tiny, tiny.model("classification"), texts)


def test_a_method_that_lengthens_the_sequence_is_refused(tiny: Any) -> None:
    method = build_method(registry.methods(), parse("prompt_tuning[tokens=5]"))
    module = adapt(tiny.model("classification"), method, tiny.context("classification"), seeds.streams(0)).module
    with pytest.raises(UsageError, match="8 x 8 on a text of 3 tokens: the method adds positions of its own"):
        measured(tiny, module, of(tiny.tokenizer, "good"))


@pytest.mark.parametrize("family", families.NAMES)
def test_every_family_returns_its_attention(tiny: Any, family: str) -> None:
    tokenizer = families.tokenizer(family)
    encoding = of(tokenizer, "the film is good", pair=True)
    found = measure(eager(families.model(family)), encoding, slot_names(tokenizer, encoding), "")
    assert len(found) == 4 * (8 if family == "albert" else 3)
    assert (found.filter(like="share_[") > 0).all(axis=None)
    np.testing.assert_allclose(found["special_share"] + found["ordinary_share"], 1, rtol=0, atol=1e-5)


SIZES = {"vocab_size": len(tiny_bert.VOCAB), "pad_token_id": tiny_bert.PAD, "eos_token_id": tiny_bert.SEP}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4, "decoder_start_token_id": 0}
OTHERS = {
    "gpt2": ({"n_embd": 32, "n_layer": 3, "n_head": 4}, "looks at earlier tokens only"),
    "t5": (T5, "T5ForSequenceClassification does not return the attention"),
}


@pytest.mark.parametrize("family", OTHERS)
def test_other_models_are_refused(tiny: Any, family: str) -> None:
    settings, reason = OTHERS[family]
    config = transformers.AutoConfig.for_model(family, **settings, **SIZES)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    encoding = of(tiny.tokenizer, "good film")
    encoding.pop("token_type_ids")
    with pytest.raises(UsageError, match=reason):
        attention_maps(eager(model), encoding, 0)


# The command


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("grid"))


@pytest.fixture
def look(grid: TinyGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """look(options): the command on the tiny model and task, in this process."""
    chosen = ["--model", grid.model, "--task", "tiny", *grid.plugins, "--out", tmp_path / "out"]

    def call(*options: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["attention", *map(str, (*chosen, *options))])
        monkeypatch.setenv("COLUMNS", "300")
        with pytest.raises(SystemExit) as ended:
            attention.main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return call


def table(path: Path) -> list[dict[str, Any]]:
    """A CSV file's rows, numbers as numbers."""

    def number(text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return text

    with path.open(encoding="utf-8", newline="") as lines:
        return [{key: number(value) for key, value in row.items()} for row in csv.DictReader(lines)]


def test_the_pretrained_model_alone(look: Bench, tmp_path: Path) -> None:
    done = look("--json", "--examples", 3)
    assert done.code == 0, done.err
    found, out = json.loads(done.out), tmp_path / "out"
    assert [Path(file).name for file in found["files"]] == sorted(path.name for path in out.iterdir())
    rows = table(out / "heads.csv")
    assert rows == found["heads"]
    assert [(row["when"], row["layer"], row["head"]) for row in rows] == [
        ("before", layer, head) for layer in (1, 2, 3) for head in (1, 2, 3, 4)
    ]
    assert list(rows[0]) == [
        "when", "layer", "head", "special_share", "uniform_share", "ordinary_share", "share_[CLS]", "share_[SEP]"
    ]  # fmt: skip
    assert (found["model"], found["task"], found["split"], found["examples"]) == ("tiny-bert", "tiny", "validation", 3)
    assert found["special_tokens"] == ["[CLS]", "[SEP]"]
    assert found["vertical_heads"] == {"before": sum(row["special_share"] > 0.5 for row in rows)}
    assert (found["method"], found["adapter"]) == (None, None)


def test_before_and_after_an_adapter(look: Bench, grid: TinyGrid, tiny: Any, tmp_path: Path) -> None:
    from PIL import Image

    method = build_method(registry.methods(), parse("bitfit"))
    # Tiny pairs have two labels, as the grid's task has.
    module = adapt(tiny.model("pair"), method, tiny.context("classification"), seeds.streams(5)).module
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3)
    method.save(module, tmp_path / "adapter")
    done = look("--adapter", tmp_path / "adapter")
    assert done.code == 0, done.err
    for text in ("8 examples of validation", "[CLS], [SEP]", "Equal attention", "before tuning", "after tuning"):
        assert text in done.out
    assert f"Written to {tmp_path / 'out'}: heads.csv, heads.png." in done.out
    shown = [line.split() for line in done.out.splitlines() if line.startswith(" ") and line.split()[0].isdigit()]
    shares = [float(row[2]) for row in shown]
    assert len(shares) == 10
    assert shares == sorted(shares, reverse=True)
    with Image.open(tmp_path / "out" / "heads.png") as image:
        assert image.width > 1000  # panels side by side
        assert np.asarray(image.convert("L")).std() > 20  # something is drawn

    # The same attention from weights that were changed without an adapter.
    changed = tiny.model("pair")
    with torch.no_grad():
        for name, parameter in backbone(changed).named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.3)
    task = registry.tasks([grid.folder / "tiny_task.py"]).get("tiny").plugin()
    texts = tokenise(task, task.read(grid.folder / "tiny.tsv")["validation"], tiny.tokenizer)
    expected = [measured(tiny, model, texts)["special_share"] for model in (tiny.model("pair"), changed)]
    found = [row["special_share"] for row in table(tmp_path / "out" / "heads.csv")]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=1e-6)
    assert np.abs(expected[0] - expected[1]).max() > 1e-2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--task", "tny"], "There is no task 'tny'; did you mean 'tiny'?"),
        (["--model", "minilm"], "There is no model 'minilm'; did you mean 'minilm-l6'?"),
        (["--adapter", "nowhere"], "nowhere is not an adapter"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(look: Bench, tmp_path: Path, options: list[str], reason: str) -> None:
    done = look(*options)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_a_task_without_held_out_examples_is_refused(tiny: Any) -> None:
    class Empty(type(tiny_bert.task("classification"))):  # type: ignore[misc]
        def read(self, path: Path) -> Any:
            return {"train": [Example("a", 0)], "validation": [], "test": []}

    with pytest.raises(UsageError, match="neither validation nor test examples"):
        attention.study(tiny.path, Empty(), tiny.path, 1, None)
