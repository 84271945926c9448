"""`plan`: the paper's shares to the digit, from shipped configurations alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
from commandline import Bench

from bench.errors import SourceError
from bench.forecast import parameters
from bench.forecast.parameters import Count
from bench.grid import models
from bench.measure.parameters import ParameterCount
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.sources.resolve import resolve
from bench.train.model import load_config

NO_NETWORK = {"HF_HUB_OFFLINE": "1", "BENCH_OFFLINE": "1", "COLUMNS": "200"}


@pytest.fixture
def alone(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """`python -m bench` where there is no hub, no index and an empty cache."""
    for name, value in {**NO_NETWORK, "BENCH_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return bench


def counted(model: str, method: str, task: str, special_tokens: int | None = None) -> tuple[Count, ParameterCount, int]:
    """What a method trains on a task, by a model's shipped configuration, and how many special tokens an input has."""
    frame = parameters.frame(models.find(model), refuse)
    if special_tokens is not None:
        frame = frame.with_special_tokens(special_tokens)
    context = frame.context(registry.tasks().get(task).plugin())
    found = parameters.count(frame, build_method(registry.methods(), parse(method)), context)
    assert found.parameters is not None
    return found, found.parameters, len(context.template)


# 24 layers of width 1,024 and k vectors each, of 335,143,938 parameters (BERT-large with a two-class head). BERT frames
# no text with four special tokens; the paper's third figure divides by its size all the same.
@pytest.mark.parametrize(
    ("task", "special_tokens", "slots", "trained", "share"),
    [("glue-sst2", None, 2, 49_152, "0.015"), ("glue-mrpc", None, 3, 73_728, "0.022"),
     ("glue-mrpc", 4, 4, 98_304, "0.029")],
)  # fmt: skip
def test_the_papers_three_shares_to_the_digit(
    task: str, special_tokens: int | None, slots: int, trained: int, share: str
) -> None:
    found, count, special = counted("bert-large-uncased", "pasta", task, special_tokens)
    assert (special, count.trainable, found.formula) == (slots, trained, trained)
    assert (count.base, count.head) == (335_143_938, 2_050)
    assert f"{count.share_percent:.3f}" == share
    assert count.share_with_head_percent == 100 * (trained + 2_050) / 335_143_938


def test_bitfit_on_bert_large_has_its_papers_share() -> None:
    _, count, _ = counted("bert-large-uncased", "bitfit", "glue-mrpc")
    # 24 x (7 x 1,024 + 4,096) + 1,024 (embedding norm) + 1,024 (pooler)
    assert (count.trainable, f"{count.share_percent:.2f}") == (272_384, "0.08")


def test_roberta_large_frames_a_pair_with_four_tokens_and_has_a_large_head() -> None:
    _, pair, special = counted("roberta-large", "pasta", "glue-mrpc")
    assert (special, pair.trainable) == (4, 98_304)
    assert pair.head == 1024 * 1024 + 1024 + 2 * 1024 + 2  # a dense layer and the labels: 1.05 M
    assert pair.base == 355_361_794
    _, single, special = counted("roberta-large", "pasta", "glue-sst2")
    assert (special, single.trainable) == (2, 49_152)


def test_a_token_task_has_no_pooler_and_a_label_a_token() -> None:
    _, count, _ = counted("bert-large-cased", "pasta", "conll2003")
    assert count.head == 9 * 1024 + 9
    assert count.base == 334_101_513 - (30_522 - 28_996) * 1024


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
        patched.setattr("bench.runner.forecasting.predict", refuse)  # a step of BERT-large takes half a minute
        done = alone("plan", *arguments, "--pooling", "model")  # the pooler's bias counts
    assert done.code == 0, done.err
    assert [line.split()[2:5] for line in done.out.splitlines()[2:]] == [
        ["pasta", "73,728", "0.022"],
        ["bitfit", "272,384", "0.081"],
        ["pasta", "49,152", "0.015"],
        ["bitfit", "272,384", "0.081"],
    ]


def test_json_has_the_leaderboards_names_and_a_folder_needs_no_weights(alone: Bench, tmp_path: Path) -> None:
    folder = tiny_bert.save(tmp_path)
    (folder / "model.safetensors").unlink()
    options = ["--model", folder, "--tasks", "rt-polarity", "--methods", "pasta", "--special-tokens", "5"]
    done = alone("plan", *options, "--json")
    (row,) = json.loads(done.out)
    assert done.code == 0
    assert {"method", "method_params", "task", "model", "trainable_params", "trainable_share_percent",
            "trainable_share_with_head_percent", "method_params_count", "status"} <= row.keys()  # fmt: skip
    trainable = 5 * tiny_bert.LAYERS * tiny_bert.HIDDEN
    assert (row["special_tokens"], row["trainable_params"], row["head_params"]) == (5, trainable, 2 * 32 + 2)


def test_a_method_that_does_not_apply_is_a_row_with_its_reason(alone: Bench) -> None:
    done = alone("plan", "--tasks", "us-address,rt-polarity", "--methods", "head[pooling=cls]")
    assert done.code == 0
    assert done.out.splitlines()[2].split()[2:] == ["head[pooling=cls]", *"--------"]
    assert "Skipped: head[pooling=...] is for whole texts" in done.err


def refuse(source: Any, *more: Any) -> Any:
    raise SourceError(f"no {source}")


def test_a_model_that_is_not_shipped_is_resolved() -> None:
    with pytest.raises(SourceError, match="hub:a/b@c"):
        parameters.frame(models.find("hub:a/b@c"), refuse)
