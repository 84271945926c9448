"""`plan`: the paper's shares to the digit, from shipped configurations alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
from commandline import Bench

from bench.errors import SourceError
from bench.forecast import parameters
from bench.grid import models
from bench.plugins import registry
from bench.plugins.specs import build_method, changed_params, parse_all
from bench.sources.resolve import Resolved, resolve
from bench.train.model import load_config

NO_NETWORK = {"HF_HUB_OFFLINE": "1", "BENCH_OFFLINE": "1", "COLUMNS": "200"}


@pytest.fixture
def alone(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """`python -m bench` where there is no hub, no index and an empty cache."""
    for name, value in {**NO_NETWORK, "BENCH_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return bench


def counts(model: str, methods: str, *tasks: str, special_tokens: int | None = None) -> dict[tuple[str, str], Any]:
    def no_files(source: str) -> Resolved:
        raise AssertionError(f"{source} was asked for")

    found, known = registry.methods(), registry.tasks()
    built = [build_method(found, spec) for spec in parse_all(methods)]
    frame = parameters.frame(models.find(model), no_files)
    if special_tokens is not None:
        frame = frame.with_special_tokens(special_tokens)
    pairs = [(method, changed_params(method.params)) for method in built]
    rows = [c.row(model) for c in parameters.counts(frame, [known.get(task).plugin() for task in tasks], pairs)]
    return {(row["task"], f"{row['method']} {row['method_params']}".strip()): row for row in rows}


# 24 layers of width 1,024 and k vectors each, of 335,143,938 parameters (BERT-large with a two-class head).
@pytest.mark.parametrize(
    ("task", "slots", "trained", "share"),
    [("glue-sst2", 2, 49_152, "0.015"), ("glue-mrpc", 3, 73_728, "0.022"), ("glue-mrpc", 4, 98_304, "0.029")],
)
def test_the_papers_three_shares_to_the_digit(task: str, slots: int, trained: int, share: str) -> None:
    asked = (
        None if slots < 4 else 4
    )  # BERT frames no text with four; the paper's figure divides by its size all the same
    row = counts("bert-large-uncased", "pasta", task, special_tokens=asked)[task, "pasta"]
    assert (row["special_tokens"], row["trainable_params"], row["formula"]) == (slots, trained, trained)
    assert (row["model_params"], row["head_params"]) == (335_143_938, 2_050)
    assert f"{row['trainable_share_percent']:.3f}" == share
    assert row["trainable_share_with_head_percent"] == 100 * (trained + 2_050) / 335_143_938


def test_other_methods_and_ablations_on_bert_large() -> None:
    rows = counts("bert-large-uncased", "bitfit,pasta[tokens=cls],pasta[share_layers=true],full,head", "glue-mrpc")
    trained = {method: row["trainable_params"] for (_, method), row in rows.items()}
    assert trained == {
        "bitfit": 272_384,  # 24 x (7 x 1,024 + 4,096) + 1,024 (embedding norm) + 1,024 (pooler)
        "pasta tokens=cls": 24 * 1024,
        "pasta share_layers=true": 3 * 1024,
        "full": 335_143_938 - 2_050,
        "head": 0,
    }
    assert f"{rows['glue-mrpc', 'bitfit']['trainable_share_percent']:.2f}" == "0.08"


def test_roberta_large_frames_a_pair_with_four_tokens_and_has_a_large_head() -> None:
    rows = counts("roberta-large", "pasta", "glue-mrpc", "glue-sst2")
    pair, single = rows["glue-mrpc", "pasta"], rows["glue-sst2", "pasta"]
    assert (pair["special_tokens"], pair["trainable_params"]) == (4, 98_304)
    assert (single["special_tokens"], single["trainable_params"]) == (2, 49_152)
    assert pair["head_params"] == 1024 * 1024 + 1024 + 2 * 1024 + 2  # a dense layer and the labels: 1.05 M
    assert pair["model_params"] == 355_361_794


def test_a_token_task_has_no_pooler_and_a_label_a_token() -> None:
    row = counts("bert-large-cased", "pasta", "conll2003")["conll2003", "pasta"]
    assert row["head_params"] == 9 * 1024 + 9
    assert row["model_params"] == 334_101_513 - (30_522 - 28_996) * 1024


def test_what_ships_for_the_default_model_is_its_own_configuration(embedded: Any) -> None:
    model = models.find("minilm-l6")
    assert model.shape is not None
    theirs = load_config(embedded(model.source)).to_dict()
    assert {key: theirs[key] for key in model.shape.config} == model.shape.config
    shipped, read = (parameters.frame(m, resolve) for m in (model, model._replace(shape=None)))
    assert (shipped.single, shipped.pair) == (read.single, read.pair)


def test_the_command_needs_neither_hub_nor_index_nor_cache(alone: Bench) -> None:
    arguments = ["--model", "bert-large-uncased", "--tasks", "glue-mrpc,glue-sst2", "--methods", "pasta,bitfit"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bench.forecast.grid.predict", refuse)  # a step of BERT-large takes half a minute
        done = alone("plan", *arguments)
    assert done.code == 0, done.err
    assert [line.split()[2:5] for line in done.out.splitlines()[2:]] == [
        ["pasta", "73,728", "0.022"],
        ["bitfit", "272,384", "0.081"],
        ["pasta", "49,152", "0.015"],
        ["bitfit", "272,384", "0.081"],
    ]


def test_json_has_the_leaderboards_names_and_nothing_else_is_printed(alone: Bench) -> None:
    done = alone("plan", "--tasks", "rt-polarity", "--methods", "head", "--special-tokens", "5", "--json")
    (row,) = json.loads(done.out)
    assert done.code == 0
    assert {"method", "method_params", "task", "model", "trainable_params", "trainable_share_percent",
            "trainable_share_with_head_percent", "method_params_count", "status"} <= row.keys()  # fmt: skip
    assert (row["special_tokens"], row["trainable_params"], row["head_params"]) == (5, 0, 770)


def test_a_folder_without_weights_is_counted_too(alone: Bench, tmp_path: Path) -> None:
    folder = tiny_bert.save(tmp_path)
    (folder / "model.safetensors").unlink()
    done = alone("plan", "--model", folder, "--tasks", "glue-mrpc", "--methods", "pasta", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)[0]["trainable_params"] == 3 * tiny_bert.LAYERS * tiny_bert.HIDDEN


def test_a_method_that_does_not_apply_is_a_row_with_its_reason(alone: Bench) -> None:
    done = alone("plan", "--tasks", "rt-polarity", "--methods", "pasta[layers=99],head")
    assert done.code == 0
    assert done.out.splitlines()[2].split()[2:] == ["pasta[layers=99]", *"--------"]
    assert "Skipped: layers=99: this model has 6 layers" in done.err


def refuse(source: Any, *more: Any) -> Any:
    raise SourceError(f"no {source}")


def test_a_model_that_is_not_shipped_is_resolved() -> None:
    with pytest.raises(SourceError, match="hub:a/b@c"):
        parameters.frame(models.find("hub:a/b@c"), refuse)
