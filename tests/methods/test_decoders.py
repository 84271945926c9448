"""Decoders with a head: the last token is read, padding changes nothing, methods work or say why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
import tiny_decoders
import torch
from commandline import Bench
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from bench.check import examples
from bench.errors import NotApplicable, UsageError
from bench.forecast import parameters
from bench.grid import models, seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.plugins.task import TaskContext
from bench.sources.resolve import resolve
from bench.train import kernels, loop, modes
from bench.train.adaptation import Adapted, adapt
from bench.train.data import Encoded, encode
from bench.train.features import features_of
from bench.train.model import backbone, context, load_config, load_model, load_tokenizer
from bench.train.tokens import limits, pair_note

KINDS = ("classification", "pair", "regression", "token-classification")
WORKING = ("full", "head", "lora", "prompt_tuning[tokens=3]", "prefix_tuning[tokens=3]", "peft:ia3", "peft:vera[r=4]")
REFUSED = {
    "pasta": r"PASTA does not support .*it needs an encoder whose texts are framed by special tokens",
    "adapters": "adapters do not know the model family",
    "ia3": "ia3 does not know the model family",
}


def build(spec: str) -> Any:
    return build_method(registry.methods(), parse(spec))


class Decoder:
    def __init__(self, folder: Path, family: str) -> None:
        self.folder, self.family, self.tokenizer = folder, family, load_tokenizer(folder)

    def data(self, kind: str) -> Encoded:
        return encode(examples.task(kind), examples.examples(kind, 12), self.tokenizer)

    def context(self, kind: str) -> TaskContext:
        return context(examples.task(kind), self.tokenizer)

    def adapted(self, spec: str, kind: str = "classification", dropout: float | None = 0.0, **changes: Any) -> Adapted:
        task, method = examples.task(kind), build(spec)
        found = adapt(
            load_model(self.folder, task.kind, task.num_labels, dropout), method,
            TaskContext(**{**vars(self.context(kind)), **changes}), seeds.streams(0),
        )  # fmt: skip
        found.module.eval()
        return found


@pytest.fixture(scope="module", params=tiny_decoders.FAMILIES)
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return Decoder(tiny_decoders.save(tmp_path_factory.mktemp(request.param), request.param), request.param)


def logits(module: Any, data: Encoded, *which: int) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = module(**data.batch(list(which) or range(len(data))).inputs).logits
    return found


def theirs(decoder: Decoder, kind: str, head: Any) -> Any:
    """transformers' own model with our head: nothing of the harness in it."""
    tokens = examples.task(kind).kind == "token-classification"
    auto = AutoModelForTokenClassification if tokens else AutoModelForSequenceClassification
    made = auto.from_pretrained(decoder.folder, num_labels=examples.task(kind).num_labels, dtype="float32").eval()
    own = dict(head.named_parameters())
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.startswith(f"{made.base_model_prefix}."):
                parameter.copy_(own[name])
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masks", ["torch", "16-bit"])
def test_logits_are_those_of_transformers_for_a_text_alone(decoder: Decoder, kind: str, masks: Any) -> None:
    """Padded in one batch here, and one by one without padding there, where it cannot be mistaken."""
    data, ours = decoder.data(kind), decoder.adapted("head", kind)
    kernels.install(ours.module, masks)
    found, reference = logits(ours.module, data), theirs(decoder, kind, ours.module)
    assert len(set(data.lengths)) > 3
    for at, length in enumerate(data.lengths):
        with torch.no_grad():
            expected = reference(input_ids=torch.tensor(data.inputs["input_ids"][at]).long()[None]).logits[0]
        shown = found[at, :length] if kind == "token-classification" else found[at]
        torch.testing.assert_close(shown, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["classification", "token-classification"])
@pytest.mark.parametrize("spec", WORKING)
def test_a_texts_logits_do_not_depend_on_its_batch(decoder: Decoder, spec: str, kind: str) -> None:
    data, module = decoder.data(kind), decoder.adapted(spec, kind).module
    found = logits(module, data)
    for at, length in enumerate(data.lengths):
        alone = logits(module, data, at)[0]
        shown = found[at, :length] if kind == "token-classification" else found[at]
        torch.testing.assert_close(
            shown, alone[:length] if kind == "token-classification" else alone, atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("spec", ["lora", "prompt_tuning[tokens=3]", "prefix_tuning[tokens=3]"])
def test_logits_are_those_of_pefts_own_model_for_a_text_alone(decoder: Decoder, spec: str) -> None:
    from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, TaskType, get_peft_model

    data, ours = decoder.data("classification"), decoder.adapted(spec).module
    config: Any = {
        "lora": lambda: LoraConfig(r=8, lora_alpha=16),
        "prompt_tuning": lambda: PromptTuningConfig(num_virtual_tokens=3),
        "prefix_tuning": lambda: PrefixTuningConfig(num_virtual_tokens=3),
    }[spec.partition("[")[0]]()
    config.task_type = TaskType.SEQ_CLS
    base = theirs(decoder, "classification", ours)
    peft: Any = get_peft_model(base, config).eval()
    peft.base_model.score.modules_to_save["default"].load_state_dict(ours.score.state_dict())
    mine = [p for name, p in ours.named_parameters() if p.requires_grad and "score" not in name]
    its = [p for name, p in peft.named_parameters() if p.requires_grad and "score" not in name]
    assert [p.shape for p in mine] == [p.shape for p in its]
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one, other in zip(mine, its, strict=True):
            other.copy_(one.normal_(std=0.3, generator=draw))
    found = logits(ours, data)
    for at, row in enumerate(data.inputs["input_ids"]):
        ids = torch.tensor(row).long()[None]
        with torch.no_grad():
            expected = peft(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        torch.testing.assert_close(found[at], expected, atol=1e-5, rtol=1e-5)


def test_the_state_of_the_last_token_is_read_also_where_it_is_the_one_that_pads(tmp_path: Path) -> None:
    """GPT-2 pads with the token that ends a text; transformers would read the one before it."""
    decoder = Decoder(tiny_decoders.save(tmp_path, "gpt2", ends=True), "gpt2")
    assert decoder.tokenizer.pad_token == decoder.tokenizer.eos_token == "[SEP]"
    data, ours = decoder.data("classification"), decoder.adapted("head")
    assert all(row[-1] == tiny_bert.SEP for row in data.inputs["input_ids"])
    found = logits(ours.module, data)
    for at, row in enumerate(data.inputs["input_ids"]):
        with torch.no_grad():
            states = theirs(decoder, "classification", ours.module).base_model(torch.tensor(row).long()[None])[0]
            expected = ours.module.score.weight @ states[0, -1]
        torch.testing.assert_close(found[at], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["model", "mean"])
def test_a_decoder_with_another_head_is_read_alike(tmp_path: Path, pooling: str) -> None:
    decoder = Decoder(tiny_decoders.save(tmp_path, "modernbert-decoder"), "modernbert-decoder")
    data, ours = decoder.data("classification"), decoder.adapted("head", pooling=pooling)
    found, reference = logits(ours.module, data), theirs(decoder, "classification", ours.module)
    for at, row in enumerate(data.inputs["input_ids"]):
        with torch.no_grad():
            states = reference.base_model(torch.tensor(row).long()[None])[0][0]
            read = states[-1] if pooling == "model" else states.mean(0)
            expected = reference.classifier(reference.head(read))
        torch.testing.assert_close(found[at], expected, atol=1e-5, rtol=1e-5)


def test_mean_pooling_is_the_mean_and_the_first_token_is_refused(decoder: Decoder) -> None:
    data, ours = decoder.data("classification"), decoder.adapted("head", pooling="mean")
    reference = theirs(decoder, "classification", ours.module)
    for at, row in enumerate(data.inputs["input_ids"]):
        with torch.no_grad():
            expected = ours.module.score.weight @ reference.base_model(torch.tensor(row).long()[None])[0][0].mean(0)
        torch.testing.assert_close(logits(ours.module, data)[at], expected, atol=1e-5, rtol=1e-5)
    with pytest.raises(NotApplicable, match=r"^pooling=cls: a '.*' model reads from left to right"):
        decoder.adapted("head", pooling="cls")


@pytest.mark.parametrize("kind", ["classification", "token-classification"])
@pytest.mark.parametrize("spec", [*WORKING, *REFUSED, "bitfit"])
def test_a_method_trains_or_says_why_not(decoder: Decoder, spec: str, kind: str) -> None:
    refused = REFUSED | ({} if decoder.family == "gpt2" else {"bitfit": "bitfit trains bias terms, and a .* has none"})
    if reason := refused.get(spec):
        with pytest.raises(NotApplicable, match=reason):
            decoder.adapted(spec, kind)
        return
    made, data = decoder.adapted(spec, kind), decoder.data(kind)
    assert build(spec).trainable_formula(backbone(made.module).config, decoder.context(kind)) in (
        None, made.parameters.trainable,
    )  # fmt: skip
    before = {name: p.detach().clone() for name, p in made.module.named_parameters()}
    kernels.install(made.module, "16-bit")
    found = loop.train(made, data, tiny_bert.recipe(epochs=8, learning_rate=1e-2), tiny_bert.profile(), 0)
    changed = {name for name, p in made.module.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name, p in made.module.named_parameters() if p.requires_grad}
    assert sum(found.losses[-3:]) < sum(found.losses[:3])


def test_a_frozen_decoder_is_computed_once_an_example(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    data, losses = decoder.data("classification"), []
    for cached in (True, False):
        made = decoder.adapted("head")
        if not cached:
            monkeypatch.setattr(loop, "features_of", lambda *_: None)
        else:
            found = features_of(made.module, data, tiny_bert.profile())
            assert found is not None
            assert {tuple(tensor.shape) for tensor in found.tensors()} == {(1, tiny_decoders.HIDDEN)}
        losses.append(loop.train(made, data, tiny_bert.recipe(epochs=3), tiny_bert.profile(), 0).losses)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_decoder_without_a_separator_can_be_planned(decoder: Decoder) -> None:
    """The special tokens around a text may be none."""
    frame = parameters.frame(models.Model("decoder", str(decoder.folder), ""), resolve)
    for spec in ("lora", "prefix_tuning[tokens=3]", "full"):
        found = parameters.count(frame, build(spec), frame.context(examples.task("classification")))
        assert found.parameters == decoder.adapted(spec).parameters
    refused = parameters.count(frame, build("pasta"), frame.context(examples.task("classification")))
    assert refused.parameters is None
    assert "PASTA does not support" in str(refused.reason)
    if not frame.single:
        with pytest.raises(UsageError, match="--special-tokens: this model's tokenizer puts none around a text"):
            frame.with_special_tokens(3)


@pytest.mark.slow
def test_a_grid_on_a_decoder_is_planned(decoder: Decoder, bench: Bench) -> None:
    methods = "pasta,lora,full,head,prompt_tuning[tokens=3],prefix_tuning[tokens=3]"
    done = bench("plan", "--model", decoder.folder, "--tasks", "rt-polarity", "--methods", methods, "--json")
    assert done.code == 0, done.err
    rows = {row["method"]: row for row in json.loads(done.out)}
    assert (rows["pasta"]["status"], rows["pasta"]["predicted_peak_train_memory_mib"]) == ("skipped", None)
    assert rows["pasta"]["reason"].startswith("PASTA does not support")
    for name in rows.keys() - {"pasta"}:
        assert rows[name]["status"] == "ok", rows[name]["reason"]
        assert rows[name]["predicted_peak_train_memory_mib"] > 0
    assert rows["full"]["predicted_train_growth_mib"] > rows["lora"]["predicted_train_growth_mib"]


def test_a_prefix_that_checkpointing_would_drop_is_refused(decoder: Decoder) -> None:
    made, data = decoder.adapted("prefix_tuning[tokens=3]"), decoder.data("classification")
    modes.install(made.module, tiny_bert.profile(gradient_checkpointing=True))
    with pytest.raises(NotApplicable, match="gradient_checkpointing: it does not work with keys and values"):
        made.module.train()(**data.batch([0, 1]).inputs)


def test_a_pair_that_nothing_divides_is_noted(decoder: Decoder) -> None:
    note = pair_note(examples.task("pair"), decoder.tokenizer)
    if decoder.family == "llama":  # which puts its first token before each of the two
        assert note is None
    else:
        assert note == (
            "The tokenizer puts nothing between the two texts of a pair: the model is not told where the second begins."
        )
    assert pair_note(examples.task("classification"), decoder.tokenizer) is None


def test_segment_ids_are_not_given_to_a_model_that_reads_them_as_tokens(decoder: Decoder) -> None:
    """Most tokenizers give some; transformers' GPT-2 adds the embeddings of the tokens 0 and 1."""
    tokenizer = tiny_decoders.tokenizer(decoder.family)
    tokenizer.pad_token, tokenizer.model_input_names = "[SEP]", ["input_ids", "token_type_ids", "attention_mask"]
    encoded = encode(
        examples.task("pair"), examples.examples("pair", 4), tokenizer, limits(load_config(decoder.folder))
    )
    assert encoded.inputs.keys() == {"input_ids", "attention_mask"}
