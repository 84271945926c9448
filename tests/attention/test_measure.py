"""The measure of attention to special tokens, against attention computed by hand and against what must hold."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny as tiny_bert
import torch

from bench.attention import measure as attention
from bench.attention.measure import Shares, attention_maps, measure, slot_names
from bench.errors import UsageError
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.plugins.task import Example
from bench.train.adaptation import adapt
from bench.train.data import tokenise
from bench.train.model import backbone

HEADS = 4


def texts(tiny: Any, kind: str = "classification", count: int = 12) -> Any:
    return tokenise(tiny_bert.task(kind), tiny_bert.examples(kind, count), tiny.tokenizer)


def of(tiny: Any, *written: str, pair: bool = False) -> Any:
    examples = [Example(text, 0, "bad road" if pair else None) for text in written]
    return tokenise(tiny_bert.task("pair" if pair else "classification"), examples, tiny.tokenizer)


def measured(tiny: Any, model: Any, encoding: Any, **options: Any) -> Shares:
    return measure(model, backbone(model), tiny.tokenizer, encoding, **options)


def same(one: Shares, other: Shares, tolerance: float) -> None:
    for name in ("slots", "ordinary", "uniform"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=tolerance, err_msg=name)
    assert one.examples == other.examples


# By hand


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
    # "[SEP]" in a text is five characters or so, and no special token.
    encoding = of(tiny, "the film is very good", "bad", "not [SEP] good", pair=pair)
    slots = 3 if pair else 2
    weights = {name: tensor.double().numpy() for name, tensor in tiny_bert.safetensors(tiny.path).items()}
    total = np.zeros((slots + 1, tiny_bert.LAYERS, HEADS))
    uniform = np.zeros(slots)
    for ids, segments in zip(encoding["input_ids"], encoding["token_type_ids"], strict=True):
        maps = attention_by_hand(weights, ids, segments)
        special = [at for at, token in enumerate(ids) if token in (tiny_bert.CLS, tiny_bert.SEP)]
        ordinary = [at for at in range(len(ids)) if at not in special]
        assert len(special) == slots
        for slot, at in enumerate(special):
            total[slot] += sum(maps[:, :, start, at] for start in ordinary) / len(ordinary) / 3
            uniform[slot] += 1 / len(ids) / 3
        total[slots] += sum(maps[:, :, a, b] for a in ordinary for b in ordinary) / len(ordinary) / 3
    expected = Shares(total[:slots], total[slots], uniform, 3)
    assert expected.special.std() > 0.05  # the heads differ, so a mixed-up one would show
    found = measured(tiny, tiny.model("pair" if pair else "classification"), encoding)
    same(found, expected, 1e-5)
    assert found.uniform_special == pytest.approx(uniform.sum())
    assert found.vertical == sum(share > 0.5 for share in expected.special.flat)


def test_maps_are_those_computed_by_hand(tiny: Any) -> None:
    encoding = of(tiny, "the film is played badly")
    model = tiny.model("classification")
    weights = {name: tensor.double().numpy() for name, tensor in tiny_bert.safetensors(tiny.path).items()}
    expected = attention_by_hand(weights, encoding["input_ids"][0], encoding["token_type_ids"][0])
    found = attention_maps(model, backbone(model), tiny.tokenizer, encoding)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


# What must hold


@pytest.mark.parametrize("kind", ["classification", "pair", "token-classification"])
def test_all_shares_make_one(tiny: Any, kind: str) -> None:
    shares = measured(tiny, tiny.model(kind), texts(tiny, kind))
    np.testing.assert_allclose(shares.special + shares.ordinary, 1, rtol=0, atol=1e-6)
    assert shares.slots.shape == (3 if kind == "pair" else 2, tiny_bert.LAYERS, HEADS)
    assert (shares.slots > 0).all()


def test_heads_that_ask_nothing_give_exactly_the_uniform_baseline(tiny: Any) -> None:
    model = tiny.model("pair")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".query." in name:
                parameter.zero_()
    shares = measured(tiny, model, texts(tiny, "pair"))
    assert shares.uniform_special > 0.1
    everywhere = np.broadcast_to(shares.uniform[:, None, None], shares.slots.shape)
    np.testing.assert_allclose(shares.slots, everywhere, rtol=0, atol=1e-7)


def test_padding_and_company_change_nothing(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, encoding = tiny.model("classification"), texts(tiny)
    alone = measured(tiny, model, encoding, batch_size=1)
    assert len({len(ids) for ids in encoding["input_ids"]}) >= 3
    same(measured(tiny, model, encoding, batch_size=8), alone, 1e-6)
    sizes: list[int] = []
    model.register_forward_pre_hook(
        lambda _module, _inputs, named: sizes.append(len(named["input_ids"])), with_kwargs=True
    )
    # 3 layers x 4 heads x 16 x 16 tokens are 3,072 weights a text.
    monkeypatch.setattr(attention, "BATCH_WEIGHTS", 2 * 3072)
    same(measured(tiny, model, encoding), alone, 1e-6)
    assert sizes == [2] * 6


def test_long_texts_on_a_large_model_come_a_few_at_a_time() -> None:
    large: Any = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=24, num_attention_heads=16))
    assert attention._batch_size(large, 128, 32) == 5  # 24 x 16 x 128 x 128 = 6,291,456 of 33,554,432
    assert attention._batch_size(large, 512, 32) == 1
    assert attention._batch_size(large, 16, 32) == 32


def test_an_example_weighs_the_same_however_long(tiny: Any) -> None:
    model = tiny.model("classification")
    short, long = of(tiny, "good"), of(tiny, "the film is very good and not bad")
    both = measured(tiny, model, of(tiny, "good", "the film is very good and not bad"))
    mean = (measured(tiny, model, short).special + measured(tiny, model, long).special) / 2
    np.testing.assert_allclose(both.special, mean, rtol=0, atol=1e-6)


def test_a_text_without_an_ordinary_token_is_left_out(tiny: Any) -> None:
    model = tiny.model("classification")
    same(measured(tiny, model, of(tiny, "good film", "")), measured(tiny, model, of(tiny, "good film")), 0)
    with pytest.raises(UsageError, match="no text with a token other than"):
        measured(tiny, model, of(tiny, "", ""))


def test_the_model_is_left_as_it_was(tiny: Any) -> None:
    model, data = tiny.model("classification"), tiny.data("classification")
    before = tiny_bert.logits(model, data)
    measured(tiny, model, texts(tiny))
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(tiny_bert.logits(model, data), before)
    assert model(**data.batch([0]).inputs).attentions is None


@pytest.mark.parametrize("spec", ["lora", "head", "bitfit"])
def test_a_method_before_training_changes_nothing_at_all(tiny: Any, spec: str) -> None:
    model = tiny.model("pair")
    before = measured(tiny, model, texts(tiny, "pair"))
    encoder = backbone(model)
    method = build_method(registry.methods(), parse(spec))
    module = adapt(model, method, tiny.context("pair"), seeds.streams(0)).module
    same(measure(module, encoder, tiny.tokenizer, texts(tiny, "pair")), before, 0)


def test_a_method_that_lengthens_the_sequence_is_refused(tiny: Any) -> None:
    model = tiny.model("classification")
    encoder = backbone(model)
    method = build_method(registry.methods(), parse("prompt_tuning[tokens=5]"))
    module = adapt(model, method, tiny.context("classification"), seeds.streams(0)).module
    with pytest.raises(UsageError, match="21 x 21 on a text of 16 tokens: the method adds positions of its own"):
        measure(module, encoder, tiny.tokenizer, texts(tiny))


# Families

SIZES = {"vocab_size": len(tiny_bert.VOCAB), "pad_token_id": tiny_bert.PAD}
COMMON = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, **SIZES}
SPECIAL = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
FAMILIES: dict[str, dict[str, Any]] = {
    "roberta": COMMON,
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, **SIZES},
    "electra": {**COMMON, "embedding_size": 16},
    "albert": {**COMMON, "embedding_size": 16},
    "mpnet": COMMON,
    "deberta": {**COMMON, **RELATIVE},
    "deberta-v2": {**COMMON, **RELATIVE},
    "modernbert": {**COMMON, **SPECIAL},
}


def made(family: str, **settings: Any) -> Any:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(3)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(family, **settings))


def without_segments(encoding: Any) -> Any:
    """Not every family has a table of segments of the size that BERT's tokenizer counts on."""
    encoding.pop("token_type_ids")
    return encoding


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_tells_its_attention(tiny: Any, family: str) -> None:
    model, encoding = made(family, **FAMILIES[family]), without_segments(texts(tiny, "pair"))
    alone = measured(tiny, model, encoding, batch_size=1)
    assert alone.slots.shape == (3, 3, 4)
    np.testing.assert_allclose(alone.special + alone.ordinary, 1, rtol=0, atol=1e-5)
    same(measured(tiny, model, encoding, batch_size=8), alone, 1e-5)


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 3, "n_head": 4, **SIZES, **SPECIAL}, "looks at earlier tokens only"),
        (
            "t5",
            {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4, "decoder_start_token_id": 0,
             "eos_token_id": 3, **SIZES},
            "family 't5' does not tell the attention of an encoder",
        ),
        (
            "fnet",
            {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 48, **SIZES},
            "family 'fnet' does not tell the attention of an encoder",
        ),
    ],
)  # fmt: skip
def test_other_models_are_told_apart(tiny: Any, family: str, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        measured(tiny, made(family, **settings), without_segments(of(tiny, "good film")))


def test_a_tokenizer_without_special_tokens_leaves_nothing_to_measure(tiny: Any) -> None:
    encoding = of(tiny, "good film")
    encoding["special_tokens_mask"] = [[0] * len(ids) for ids in encoding["input_ids"]]
    with pytest.raises(UsageError, match="puts no special tokens around a text"):
        measured(tiny, tiny.model("classification"), encoding)


@pytest.mark.parametrize(
    ("tokens", "names"),
    [
        (["[CLS]", "[SEP]"], ["[CLS]", "[SEP]"]),
        (["<s>", "</s>", "</s>", "</s>"], ["<s>", "</s> 1", "</s> 2", "</s> 3"]),
        ([], []),
    ],
)
def test_slots_are_named_by_their_tokens(tokens: list[str], names: list[str]) -> None:
    assert slot_names(tokens) == names
