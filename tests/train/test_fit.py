"""A model, its tokenizer, a task and methods that do not go together are refused in one sentence before training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
import tiny_encoders
import tiny_setting
from commandline import Bench

from bench.errors import SourceError, UsageError
from bench.grid.suites import Budget
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.plugins.task import Example
from bench.records.record import new_record
from bench.records.store import Store
from bench.runner.options import Options
from bench.runner.plan import plan
from bench.runner.request import Request
from bench.train import fit
from bench.train.fit import Fit, Model
from bench.train.model import load_tokenizer
from bench.train.tokens import limits


@pytest.fixture
def model(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A copy of a sound model folder: 78 token ids, 64 positions."""
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refusal(model: Path, kind: str = "classification", *methods: str, max_length: int = 16) -> str | None:
    task, known = tiny_bert.task(kind), registry.methods()
    sized = type("Sized", (type(task),), {"max_length": max_length})()
    try:
        fit.require(Fit(Model.of(model, weights=False), sized, [build_method(known, parse(name)) for name in methods]))
    except UsageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("command", ["run", "plan", "tune", pytest.param("check", marks=pytest.mark.slow)])
def test_every_command_refuses_it_in_the_same_sentence(command: str, bench: Bench, tmp_path: Path) -> None:
    options = tiny_setting.write(tmp_path)
    edit(tmp_path / "tiny-bert" / "tokenizer_config.json", pad_token=None)
    results = tmp_path / "results"
    grid = ["--tasks", "short", "--methods", "pasta", "--results", results]
    chosen = ["short"] if command == "check" else grid
    done = bench(command, *chosen, "--model", options["--model"], "--plugin", options["--plugin"])
    sentence = (
        f"The model in {options['--model']} cannot be used for short: its tokenizer has no padding token, with which "
        "the texts of a batch are filled up to one length; name a token of its vocabulary as pad_token in its "
        "tokenizer_config.json."
    )
    if command == "check":
        assert (done.code, done.out.splitlines()[-1]) == (1, f"  model: {sentence}")
    else:
        assert (done.code, done.out, done.err) == (2, "", f"Error: {sentence}\n")
    assert not results.exists()


def test_finished_cells_need_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tiny_setting.write(tmp_path)
    options = Options("head", "short", model=found["--model"], plugin=found["--plugin"], results=tmp_path / "results")
    request = Request.of(options)
    cells = plan(request).pending
    assert len(cells) == 3
    monkeypatch.setattr(Model, "of", lambda folder, weights: pytest.fail("the model's files were read"))
    for cell in cells:
        Store(request.results).write(new_record(cell).model_copy(update={"status": "ok"}))
    assert plan(request).pending == []


def test_a_vocabulary_larger_than_the_embeddings_is_refused(model: Path) -> None:
    assert refusal(model) is None
    tokenizer = Model.of(model).tokenizer
    tokenizer.add_tokens(["newword", "newer"])
    tokenizer.save_pretrained(model)
    reason = refusal(model)
    assert reason is not None
    assert "its tokenizer has 80 tokens and the model 78 embeddings, none of them for 'newword'" in reason


def test_a_token_beyond_the_embeddings_that_no_input_can_have_is_no_obstacle(model: Path) -> None:
    """A mask token is in no text: its name there is read as plain characters."""
    edit(model / "tokenizer_config.json", mask_token="<mask>")  # not in the vocabulary: gets an id of its own
    tokenizer = Model.of(model).tokenizer
    assert tokenizer.mask_token_id >= 78
    assert refusal(model) is None
    edit(model / "tokenizer_config.json", pad_token="<pad>")
    assert "none of them for '<pad>'" in str(refusal(model))


@pytest.mark.parametrize(
    ("family", "changes", "positions"),
    [("bert", {}, 64), ("roberta", {}, 63), ("roberta", {"pad_token_id": 1}, 62), ("mpnet", {}, 62),
     ("distilbert", {}, 64), ("deberta", {}, 64), ("deberta-v2", {}, None), ("modernbert", {}, None)],
)  # fmt: skip
def test_positions_are_those_that_the_model_can_compute(
    family: str, changes: dict[str, Any], positions: int | None
) -> None:
    """One more token is an IndexError of torch; without a table any length is computed."""
    import torch

    found = limits(tiny_encoders.config(family, **changes))
    assert found.positions == positions
    made = tiny_encoders.model(family, **changes)
    ids = torch.full((1, (positions or 100) + 1), 7)
    made(input_ids=ids[:, :-1])
    if positions is None:
        made(input_ids=ids)
    else:
        with pytest.raises((IndexError, RuntimeError)):
            made(input_ids=ids)


@pytest.mark.parametrize(
    "method", ["prompt_tuning[tokens=9]", "prefix_tuning[tokens=9]", "peft:p_tuning[num_virtual_tokens=9]"]
)
def test_virtual_tokens_and_text_must_fit_into_the_positions_together(method: str, model: Path) -> None:
    assert refusal(model, "classification", "lora", method, max_length=55) is None
    reason = str(refusal(model, "classification", "lora", method, max_length=56))
    assert reason.endswith(
        f"{method} puts 9 virtual tokens before inputs of up to 56 tokens, and the model has 64 positions; give the "
        "task a max_length of 55, which then holds for all methods, or leave this one out."
    )
    assert refusal(model, "classification", "lora", max_length=500) is None


def test_a_pair_needs_two_segments(model: Path) -> None:
    edit(model / "config.json", type_vocab_size=1)
    assert refusal(model) is None
    assert "numbers the texts of a pair by 2 segments (token_type_ids), and the model knows 1" in str(
        refusal(model, "pair")
    )
    edit(model / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    assert refusal(model, "pair") is None


def test_a_model_that_counts_positions_by_another_padding_token_is_refused(tmp_path: Path) -> None:
    """Its own padding token would be counted, and a word with its id would not."""
    tiny_encoders.config("roberta").save_pretrained(tmp_path)
    tiny_encoders.tokenizer("roberta").save_pretrained(tmp_path)
    assert refusal(tmp_path) is None
    edit(tmp_path / "config.json", pad_token_id=1)
    assert "its tokenizer pads with token 0 and the model counts positions without token 1" in str(refusal(tmp_path))


@pytest.mark.parametrize("longest", [4, 0, -1])
def test_a_limit_that_leaves_no_room_for_a_text_is_refused(longest: int, model: Path) -> None:
    edit(model / "tokenizer_config.json", model_max_length=longest)
    assert (refusal(model) is None) == (longest == 4)
    assert f"inputs are cut at {longest} tokens, and 5 is the least" in str(refusal(model, "pair"))


@pytest.mark.parametrize("said", ["many", None, float("inf"), float("nan"), 10**30])
def test_a_limit_that_says_nothing_limits_nothing(said: Any, model: Path) -> None:
    edit(model / "tokenizer_config.json", model_max_length=said)
    assert Fit(Model.of(model), tiny_bert.task("classification"), ()).longest == 16


def test_what_is_cut_is_told_with_the_reason(model: Path) -> None:
    """Of 'good' n times 64 - 2 words are left; a sample of two texts, one of them of 124 words."""
    task = type("Long", (type(tiny_bert.task("classification")),), {"max_length": 128, "name": "long"})()
    splits = {"train": [Example("good " * 124, 0), Example("good " * 10, 1)], "test": [Example("good", 1)]}
    found = Fit(Model.of(model), task, ())
    assert list(fit.notes(found, {**splits, "validation": []}, Budget())) == [
        "long: inputs are cut at 64 tokens (the model has no more positions, and the task's max_length is 128; train "
        f"50.0% of examples, {62 / 134:.1%} of all tokens)."
    ]
    edit(model / "tokenizer_config.json", model_max_length=32)
    (told,) = fit.notes(Fit(Model.of(model), task, ()), {**splits, "validation": []}, Budget())
    assert "cut at 32 tokens (its tokenizer says so, and the task's max_length is 128; train 50.0%" in told


def test_a_tokenizer_that_leaves_its_first_token_out_is_told(model: Path) -> None:
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    (model / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}))
    edit(model / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    found = Fit(Model.of(model), tiny_bert.task("classification"), ())
    (told,) = fit.notes(found, None, Budget())
    assert "does not put its [CLS] before texts" in told


def write_weights(model: Path, **files: bytes) -> None:
    """Put these files in the place of the model's weights."""
    (model / "model.safetensors").unlink()
    for name, content in files.items():
        (model / name.replace("__", ".")).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("model__safetensors", b"", "model.safetensors is damaged or incomplete"),
        ("model__safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
        ("model__safetensors", b"\x02\0\0\0\0\0\0\0{}", "weights are not in its files and would be random"),
        ("pytorch_model__bin", b"", r"there is no \*\.safetensors file, and others \(pytorch_model.bin\) can run code"),
        ("tf_model__h5", b"", r"there is no \*\.safetensors file"),
    ],
)
def test_weights_that_cannot_be_read_are_refused(model: Path, name: str, content: bytes, reason: str) -> None:
    write_weights(model, **{name: content})
    with pytest.raises(SourceError, match=reason):
        Model.of(model)


def test_the_conversion_that_is_advised_gives_the_same_weights(model: Path) -> None:
    import torch
    from transformers import AutoModel

    before = tiny_bert.safetensors(model)
    write_weights(model)
    torch.save(before, model / "pytorch_model.bin")
    AutoModel.from_pretrained(model).save_pretrained(model)
    assert refusal(model) is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_bert.safetensors(model).items())


@pytest.mark.parametrize(
    ("files", "reason"),
    [((), "there is no tokenizer.json; save the tokenizer into the folder"),
     (("spm.model",), "spm.model is a SentencePiece model, which takes the packages sentencepiece and protobuf")],
)  # fmt: skip
def test_a_tokenizer_that_cannot_be_read_is_refused(
    files: tuple[str, ...], reason: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.train.model.find_spec", lambda name: None)  # whether or not they are installed here
    (model / "tokenizer.json").unlink()
    edit(model / "tokenizer_config.json", tokenizer_class="DebertaV2Tokenizer")
    for name in files:
        (model / name).write_bytes(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02")
    with pytest.raises(SourceError, match=reason):
        load_tokenizer(model)


def test_words_need_a_tokenizer_that_says_where_pieces_are(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "vocab.txt").write_text("\n".join(tiny_bert.VOCAB))
    edit(model / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer", word_tokenizer_type="basic")
    assert refusal(model) is None
    reason = str(refusal(model, "token-classification"))
    assert "its BertJapaneseTokenizer does not say which piece of a text is where" in reason
