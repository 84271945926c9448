"""PASTA against the paper's equation, written a second time, slowly and by other means, on every family.

The second time: Python loops find the special tokens, a one-hot matrix a sequence carries each slot's vector to
its place, and a module around each layer adds the product to what the layer is given. No hook, no index arithmetic
on tensors, nothing shared with the method but the layers' places.
"""

from typing import Any

import pytest
import tiny as tiny_bert
import tiny_encoders as families
import torch
from torch import nn

from methods.pasta import PastaParams
from methods.pasta.adapter import add
from methods.pasta.params import layout

KINDS = {"single": False, "pair": True}
TOKENS = "token-classification"
every_family = pytest.mark.parametrize("family", families.NAMES)
every_kind = pytest.mark.parametrize("kind", KINDS)


class Slow(nn.Module):
    """A layer that first adds one-hot (length x slots) times vectors (slots x hidden), for each application in turn."""

    def __init__(self, layer: nn.Module, vectors: list[torch.Tensor], onehot: torch.Tensor) -> None:
        super().__init__()
        self.layer, self.vectors, self.onehot = layer, vectors, onehot

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name in {"layer"} else getattr(super().__getattr__("layer"), name)

    def forward(self, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        added = torch.stack([row @ self.vectors[0] for row in self.onehot])
        self.vectors.append(self.vectors.pop(0))  # the next application's
        return self.layer(hidden + added, *args, **kwargs)


def one_hot(input_ids: torch.Tensor, slots: int) -> torch.Tensor:
    """[batch, length, slots]: 1 where a token is the slot's special token, counting occurrences."""
    matrix = torch.zeros(*input_ids.shape, slots, dtype=torch.float64)
    for row, tokens in enumerate(input_ids.tolist()):
        slot = 0
        for position, token in enumerate(tokens):
            if token in (tiny_bert.CLS, tiny_bert.SEP):
                if slot < slots:
                    matrix[row, position, slot] = 1.0
                slot += 1
    return matrix


def slow(family: str, vectors: torch.Tensor, input_ids: torch.Tensor, kind: Any = "classification") -> Any:
    """A plain model in double precision whose layers are replaced by slow ones. vectors: [layers, slots, hidden]."""
    model = families.model(family, kind).double()
    onehot = one_hot(input_ids, vectors.shape[1])
    backbone = model.base_model
    if family == "albert":  # two groups of two layers, each group applied twice in a row
        for group, members in enumerate(backbone.encoder.albert_layer_groups):
            for inner in (0, 1):
                its = [vectors[4 * group + 2 * again + inner] for again in (0, 1)]
                members.albert_layers[inner] = Slow(members.albert_layers[inner], its, onehot)
        return model
    path = {"distilbert": "transformer.layer", "modernbert": "layers"}.get(family, "encoder.layer")
    layers = backbone.get_submodule(path)
    for index in range(len(layers)):
        layers[index] = Slow(layers[index], [vectors[index]], onehot)
    return model


def gradients(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits, after a backward pass of a loss in which every logit has a share."""
    logits: torch.Tensor = model(**inputs).logits
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).reshape(logits.shape)
    (logits.sin() * weights).sum().backward()
    return logits.detach()


@every_family
@every_kind
def test_logits_and_gradients_are_those_of_the_equation(family: str, kind: str) -> None:
    template, inputs = families.template(family, KINDS[kind]), families.inputs(family, KINDS[kind])
    assert len(template) == {"single": 2, "pair": 4 if family in families.ROBERTA_LIKE else 3}[kind]
    assert inputs["attention_mask"].sum(1).unique().numel() > 1  # of mixed length ...
    assert inputs["input_ids"].shape[1] == families.MAX_LENGTH  # ... and one truncated
    model = add(families.model(family), template, PastaParams(init_std=0.5)).double()
    vectors = model.base_model.pasta.adapter("default").vectors
    theirs = vectors.detach().clone().requires_grad_(True)
    want = gradients(slow(family, theirs, inputs["input_ids"]), inputs)
    base = families.model(family).double()(**inputs).logits
    assert (want - base).abs().max() > 0.1  # what is compared is not two times nothing
    assert torch.allclose(gradients(model, inputs), want, rtol=0, atol=1e-9)
    assert theirs.grad is not None
    assert (theirs.grad.flatten(1).abs().max(1).values > 1e-6).all()
    assert torch.allclose(vectors.grad, theirs.grad, rtol=0, atol=1e-9)


FILM, GOOD, BAD = (tiny_bert.VOCAB.index(word) for word in ("film", "good", "bad"))
CLS, SEP = tiny_bert.CLS, tiny_bert.SEP
SINGLE = [CLS, FILM, GOOD, SEP]
LONG = [CLS, GOOD, FILM, BAD, GOOD, FILM, BAD, SEP]
PAIR = [CLS, FILM, SEP, BAD, GOOD, SEP]
BATCHES = {
    "padded": [SINGLE, LONG, [CLS, SEP]],
    "pairs and singles": [PAIR, SINGLE, LONG, PAIR],
    "last [SEP] cut away": [[CLS, FILM, GOOD, BAD, GOOD], SINGLE, [CLS, FILM, SEP, BAD, GOOD, BAD]],
    "more special tokens than slots": [[CLS, FILM, SEP, BAD, SEP, GOOD, SEP, SEP], PAIR, [CLS, SEP]],
    "no special token": [[FILM, GOOD, BAD], PAIR],
}


@pytest.mark.parametrize("slots", [2, 3, 4])
@pytest.mark.parametrize("batch", BATCHES)
def test_inputs_of_other_shapes_agree_with_the_equation_too(batch: str, slots: int) -> None:
    input_ids = tiny_bert.ids(*BATCHES[batch])
    inputs = {"input_ids": input_ids, "attention_mask": tiny_bert.mask(input_ids)}
    model = add(families.model("bert"), (CLS, *[SEP] * (slots - 1)), PastaParams(init_std=0.5)).double()
    vectors = model.base_model.pasta.adapter("default").vectors
    theirs = vectors.detach().clone().requires_grad_(True)
    want = gradients(slow("bert", theirs, input_ids), inputs)
    assert torch.allclose(gradients(model, inputs), want, rtol=0, atol=1e-9)
    assert theirs.grad is not None
    assert theirs.grad.abs().max() > 1e-4
    assert torch.allclose(vectors.grad, theirs.grad, rtol=0, atol=1e-9)


@every_family
def test_logits_of_every_token_are_those_of_the_equation(family: str) -> None:
    template, inputs = families.template(family, pair=False), families.inputs(family, pair=False)
    model = add(families.model(family, TOKENS), template, PastaParams(init_std=0.5)).double()
    vectors = model.base_model.pasta.adapter("default").vectors.detach()
    with torch.no_grad():
        got, want = model(**inputs).logits, slow(family, vectors, inputs["input_ids"], TOKENS)(**inputs).logits
        base = families.model(family, TOKENS).double()(**inputs).logits
    words = inputs["attention_mask"].bool()
    assert got.shape == (*words.shape, 3)
    assert (got - base)[words].abs().max() > 0.1
    assert torch.allclose(got[words], want[words], rtol=0, atol=1e-9)


@every_family
@every_kind
def test_zero_vectors_are_the_base_model_bit_for_bit(family: str, kind: str) -> None:
    inputs = families.inputs(family, KINDS[kind])
    model = add(families.model(family), families.template(family, KINDS[kind]), PastaParams(init_std=0))
    assert torch.equal(model(**inputs).logits, families.model(family)(**inputs).logits)


ABLATIONS: dict[str, Any] = {
    # parameters, their count, and the full [layers, slots, hidden] table that the vectors mean
    "cls": (PastaParams(tokens="cls"), 96, lambda v: torch.cat([v, torch.zeros(3, 2, 32)], 1)),
    "sep": (PastaParams(tokens="sep"), 192, lambda v: torch.cat([torch.zeros(3, 1, 32), v], 1)),
    "share_layers": (PastaParams(share_layers=True), 96, lambda v: v.repeat(3, 1, 1)),
    "share_slots": (PastaParams(share_slots=True), 96, lambda v: v.repeat(1, 3, 1)),
    "share both": (PastaParams(share_layers=True, share_slots=True), 32, lambda v: v.repeat(3, 3, 1)),
    "layers": (PastaParams(layers=(0, 2)), 192, lambda v: torch.stack([v[0], torch.zeros(3, 32), v[1]])),
    "last layer": (PastaParams(layers=(2,)), 96, lambda v: torch.cat([torch.zeros(2, 3, 32), v])),
    "all of it": (
        PastaParams(tokens="sep", share_slots=True, layers=(1,)),
        32,
        lambda v: torch.stack([torch.zeros(3, 32), torch.cat([torch.zeros(1, 32), v[0], v[0]]), torch.zeros(3, 32)]),
    ),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_is_the_equation_with_its_table_of_vectors(name: str) -> None:
    params, count, table = ABLATIONS[name]
    params = params.model_copy(update={"init_std": 0.5})
    template, inputs = families.template("bert", pair=True), families.inputs("bert", pair=True)
    model = add(families.model("bert"), template, params)
    vectors = model.base_model.pasta.adapter("default").vectors
    assert vectors.numel() == layout(params, model.config, template).count == count
    want = slow("bert", table(vectors.detach()).double(), inputs["input_ids"])(**inputs).logits
    assert torch.allclose(model.double()(**inputs).logits, want, rtol=0, atol=1e-6)
    assert (want - families.model("bert").double()(**inputs).logits).abs().max() > 0.05


def test_nothing_below_the_first_layer_with_vectors_is_differentiated() -> None:
    template, inputs = families.template("bert", pair=False), families.inputs("bert", pair=False)
    model = add(families.model("bert"), template, PastaParams(layers=(2,)))
    needs: list[bool] = []
    for layer in model.bert.encoder.layer:
        layer.attention.register_forward_hook(lambda module, args, output: needs.append(output[0].requires_grad))
    model(**inputs)
    assert needs == [False, False, True]
