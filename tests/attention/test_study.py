"""`python -m bench attention`: before and after an adapter, its files, and one sentence for each wrong use."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny as tiny_bert
import tiny_grid
import torch
from commandline import Bench, caller
from tiny_grid import TinyGrid

from bench.adapters import read_method, restore
from bench.attention.measure import measure
from bench.attention.study import Question, study
from bench.errors import UsageError
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.plugins.task import Example
from bench.train.adaptation import adapt
from bench.train.data import tokenise
from bench.train.model import backbone

TINY = type(tiny_bert.task("classification"))
FILES = ["heads.csv", "heads.png", "sentence.csv", "sentence.png"]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> TinyGrid:
    return tiny_grid.build(tmp_path_factory.mktemp("grid"))


@pytest.fixture
def look(grid: TinyGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """look(options): `python -m bench attention` on the tiny model and task, in this process."""

    bench = caller(monkeypatch, capsys)
    chosen = ["--model", grid.model, "--task", "tiny", *grid.plugins, "--out", tmp_path / "out"]
    return lambda *options: bench("attention", *chosen, *options)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the pictures out, which take longer than all the rest."""
    for name in ("draw_heads", "draw_sentence"):
        monkeypatch.setattr(f"bench.attention.plots.{name}", lambda found, path: None)


def saved(tiny: Any, folder: Path, spec: str, kind: str = "classification", shift: float = 0.0) -> Path:
    """An adapter as a run leaves it; shift: what training added to every trained number."""
    method = build_method(registry.methods(), parse(spec))
    model = tiny.model(kind)
    module = adapt(model, method, tiny.context(kind), seeds.streams(5)).module
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(shift)
    method.save(module, folder)
    return folder


@pytest.fixture
def adapter(grid: TinyGrid, tiny: Any, tmp_path: Path) -> Callable[..., Path]:
    """adapter(spec, shift): one for the tiny task, which has two labels as tiny pairs have."""

    class TwoLabels(tiny_bert.Tiny):
        def context(self, kind: str) -> Any:
            return tiny.context("classification")

    def make(spec: str = "bitfit", shift: float = 0.1) -> Path:
        return saved(TwoLabels(tiny.path), tmp_path / "adapter", spec, "pair", shift)

    return make


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    """A CSV file's rows, numbers as numbers."""
    with (folder / name).open(encoding="utf-8", newline="") as lines:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(lines)]


def _number(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# What is written


def test_the_pretrained_model_alone(look: Bench, tmp_path: Path) -> None:
    from PIL import Image

    done = look("--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    out = tmp_path / "out"
    assert [Path(file).name for file in found["files"]] == FILES == sorted(path.name for path in out.iterdir())
    rows = table(out, "heads.csv")
    assert rows == found["heads"]
    assert [(row["when"], row["layer"], row["head"]) for row in rows] == [
        ("before", layer, head) for layer in (1, 2, 3) for head in (1, 2, 3, 4)
    ]
    assert list(rows[0]) == [
        "when", "layer", "head", "special_share", "uniform_share", "ordinary_share", "share_[CLS]", "share_[SEP]"
    ]  # fmt: skip
    for row in rows:
        assert row["share_[CLS]"] + row["share_[SEP]"] == pytest.approx(row["special_share"])
        assert row["special_share"] + row["ordinary_share"] == pytest.approx(1)
    assert (found["model"], found["task"], found["split"], found["examples"]) == ("tiny-bert", "tiny", "validation", 8)
    assert found["special_tokens"] == ["[CLS]", "[SEP]"]
    assert found["vertical_heads"] == {"before": sum(row["special_share"] > 0.5 for row in rows)}
    assert (found["method"], found["adapter"]) == (None, None)

    most = max(rows, key=lambda row: row["special_share"])
    sentence = table(out, "sentence.csv")
    assert {(row["when"], row["layer"], row["head"]) for row in sentence} == {("before", most["layer"], most["head"])}
    tokens = found["sentence"]["tokens"]
    assert len(sentence) == len(tokens) ** 2
    assert [row["to_token"] for row in sentence[: len(tokens)]] == tokens
    for start in range(1, len(tokens) + 1):
        assert sum(row["attention"] for row in sentence if row["from_position"] == start) == pytest.approx(1)
    assert {row["to_token"] for row in sentence if row["to_is_special"] == "True"} == {"[CLS]", "[SEP]"}
    for name in ("heads.png", "sentence.png"):
        with Image.open(out / name) as image:
            assert image.format == "PNG"
            assert all(500 < side < 5000 for side in image.size)
            assert np.asarray(image.convert("L")).std() > 20  # something is drawn


def test_before_and_after_an_adapter(
    look: Bench, adapter: Callable[..., Path], tiny: Any, grid: TinyGrid, tmp_path: Path
) -> None:
    from PIL import Image

    folder = adapter("bitfit", shift=0.3)
    alone = json.loads(look("--json").out)
    found = json.loads(look("--adapter", folder, "--json").out)
    assert (found["method"], found["adapter"]) == ("bitfit", str(folder))
    before = [row for row in found["heads"] if row["when"] == "before"]
    after = [row for row in found["heads"] if row["when"] == "after"]
    assert before == alone["heads"]
    assert found["heads"] == table(tmp_path / "out", "heads.csv")
    change = np.array([b["special_share"] - a["special_share"] for a, b in zip(before, after, strict=True)])
    assert np.abs(change).max() > 0.01
    assert {row["when"] for row in table(tmp_path / "out", "sentence.csv")} == {"before", "after"}

    for name in ("heads.png", "sentence.png"):
        with Image.open(tmp_path / "out" / name) as image:
            assert image.width > 1000  # panels side by side

    # The same numbers from weights that were changed without an adapter.
    changed = tiny.model("classification")
    with torch.no_grad():
        for name, parameter in backbone(changed).named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.3)
    task = tiny_bert.task("classification")
    lines = [line.split("\t") for line in (grid.folder / "tiny.tsv").read_text(encoding="utf-8").splitlines()]
    examples = [Example(text, 0) for split, _, text in lines if split == "validation"]
    expected = measure(changed, backbone(changed), tiny.tokenizer, tokenise(task, examples, tiny.tokenizer))
    shares = np.array([row["special_share"] for row in after]).reshape(3, 4)
    np.testing.assert_allclose(shares, expected.special, rtol=0, atol=1e-6)


def test_an_adapter_without_effect_changes_no_number(look: Bench, undrawn: None, adapter: Callable[..., Path]) -> None:
    found = json.loads(look("--adapter", adapter("lora", shift=0.0), "--json").out)
    before = [{**row, "when": ""} for row in found["heads"] if row["when"] == "before"]
    assert before == [{**row, "when": ""} for row in found["heads"] if row["when"] == "after"]


def test_what_is_printed_for_people(look: Bench, undrawn: None, adapter: Callable[..., Path], tmp_path: Path) -> None:
    done = look("--adapter", adapter())
    assert done.code == 0
    table_rows = [line.split() for line in done.out.splitlines() if line.strip()[:1].isdigit()]
    assert len(table_rows) == 10
    shares = [float(row[2]) for row in table_rows]
    assert shares == sorted(shares, reverse=True)
    assert float(table_rows[0][5]) - shares[0] == pytest.approx(float(table_rows[0][6]), abs=0.11)
    for text in ("8 examples of validation", "[CLS], [SEP]", "Equal attention", "With bitfit:", "Largest rise +"):
        assert text in done.out
    assert f"Written to {tmp_path / 'out'}: {', '.join(FILES)}." in done.out


def test_a_sentence_and_a_head_of_ones_own(look: Bench, undrawn: None, tmp_path: Path) -> None:
    found = json.loads(look("--sentence", "the [SEP] film.", "--layer", 2, "--head", 4, "--json").out)
    tokens = found["sentence"]["tokens"]
    assert tokens == ["[CLS]", "the", "[", "s", "##e", "##p", "]", "film", ".", "[SEP]"]
    assert (found["sentence"]["layer"], found["sentence"]["head"]) == (2, 4)
    rows = table(tmp_path / "out", "sentence.csv")
    assert {row["to_position"] for row in rows if row["to_is_special"] == "True"} == {1, len(tokens)}
    assert {(row["layer"], row["head"]) for row in rows} == {(2, 4)}


def test_fewer_examples_can_be_measured(look: Bench, undrawn: None) -> None:
    assert json.loads(look("--examples", 3, "--json").out)["examples"] == 3


@pytest.mark.parametrize(("most", "tokens", "cut"), [(8, 8, True), (64, 16, False)])
def test_a_long_sentence_is_cut_for_its_picture(
    look: Bench, undrawn: None, monkeypatch: pytest.MonkeyPatch, most: int, tokens: int, cut: bool
) -> None:
    monkeypatch.setattr("bench.attention.study.PICTURE_TOKENS", most)
    found = json.loads(look("--sentence", "good " * 30, "--json").out)["sentence"]
    assert (len(found["tokens"]), found["cut"]) == (tokens, cut)  # the task itself cuts at 16


# Wrong use


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--task", "tny"], "There is no task 'tny'; did you mean 'tiny'?"),
        (["--model", "minilm"], "There is no model 'minilm'; did you mean 'minilm-l6'?"),
        (["--layer", "1"], "Give --layer and --head together"),
        (["--head", "1"], "Give --layer and --head together"),
        (["--layer", "4", "--head", "1"], "no head 1 in layer 4: there are layers 1 to 3 with heads 1 to 4"),
        (["--layer", "1", "--head", "5"], "no head 5 in layer 1"),
        (["--layer", "0", "--head", "1"], "Invalid value"),
        (["--examples", "0"], "Invalid value"),
        (["--pair", "good"], "--pair is the second part of a --sentence"),
        (["--sentence", "good", "--pair", "bad"], "the task tiny has no second part; leave --pair out"),
        (["--task", "record-match", "--sentence", "good"], "the task record-match needs --pair"),
        (["--adapter", "nowhere"], "There is no adapter folder nowhere"),
    ],
)
def test_wrong_use_is_one_sentence_and_code_2(look: Bench, tmp_path: Path, options: list[str], reason: str) -> None:
    done = look(*options)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"adapter.json": None}, "is not an adapter: adapter.json cannot be read"),
        ({"adapter.json": "{"}, "does not describe an adapter"),
        ({"adapter.json": "[]"}, "does not describe an adapter"),
        ({"adapter.json": '{"params": {}}'}, "does not describe an adapter: method: Field required"),
        ({"adapter.json": '{"method": "lor", "params": {}}'}, "There is no method 'lor'; did you mean 'lora'?"),
        ({"adapter.json": '{"method": "lora", "params": {"r": 0}}'}, "lora cannot have these parameters: r: "),
        ({"adapter.json": '{"method": "head", "params": {}}'}, "does not fit this model"),
        ({"adapter.safetensors": None}, "cannot be put on this model and task"),
        ({"adapter.safetensors": "no tensors"}, "cannot be put on this model and task"),
    ],
)
def test_what_is_no_adapter_is_said(
    look: Bench, adapter: Callable[..., Path], change: dict[str, str | None], reason: str
) -> None:
    folder = adapter()
    for name, text in change.items():
        if text is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(text)
    done = look("--adapter", folder)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err.splitlines()[-1]


def test_an_adapter_of_another_model_is_refused(tiny: Any, tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification

    folder = saved(tiny, tmp_path / "lora", "lora")
    method = read_method(folder, registry.methods())
    other = BertForSequenceClassification(tiny_bert.config(hidden_size=16, num_labels=3))
    with pytest.raises(UsageError, match="cannot be put on this model and task"):
        restore(other, method, folder, tiny.context("classification"))


def test_an_adapter_comes_back_with_its_parameters(tiny: Any, tmp_path: Path) -> None:
    folder = saved(tiny, tmp_path / "lora", "lora[r=3,targets=query+key]", shift=0.05)
    method = read_method(folder, registry.methods())
    assert (method.name, method.params.r, method.params.targets) == ("lora", 3, ("query", "key"))
    module = restore(tiny.model("classification"), method, folder, tiny.context("classification"))
    again = tmp_path / "again"
    method.save(module, again)
    for file in ("adapter.json", "adapter.safetensors"):
        assert (again / file).read_bytes() == (folder / file).read_bytes()


def test_a_tokenizer_that_cannot_pad_is_no_encoders(tiny: Any, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({"<s>": 0, "<unk>": 1, "a": 2, "b": 3}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", unk_token="<unk>").save_pretrained(tmp_path)

    class One(TINY):
        def read(self, path: Path) -> Any:
            return {"train": [], "validation": [], "test": [Example("a b", 0)]}

    with pytest.raises(UsageError, match="The tokenizer of plain has no padding token"):
        study(Question("plain", tmp_path, One(), tmp_path, 1))


def test_a_task_without_held_out_examples_is_refused(tiny: Any) -> None:
    class Empty(TINY):
        def read(self, path: Path) -> Any:
            return {"train": [Example("a", 0)], "validation": [], "test": []}

    with pytest.raises(UsageError, match="neither validation nor test examples"):
        study(Question("tiny", tiny.path, Empty(), tiny.path, 1))
