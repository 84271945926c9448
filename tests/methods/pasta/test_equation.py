"""PASTA against the paper's equation, written a second time, slowly and by other means, on every family.

The second time: Python loops find the special tokens, a one-hot matrix a sequence carries each slot's vector to
its place, and a module around each layer adds the product to what the layer is given. No hook, no index arithmetic
on tensors, nothing shared with the method but the layers' places.
"""

from typing import Any

import pytest
import tiny as tiny_bert
import tiny_families as families
import torch
from torch import nn

from methods.pasta import PastaParams
from methods.pasta.adapter import add

KINDS = {"single": False, "pair": True}
every_family = pytest.mark.parametrize("family", families.NAMES)
every_kind = pytest.mark.parametrize("kind", KINDS)


class Slow(nn.Module):
    """A layer that first adds, for each application in turn, one-hot (length x slots) times vectors (slots x hidden)."""

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


def slow(family: str, vectors: torch.Tensor, input_ids: torch.Tensor, auto: Any = None) -> Any:
    """A plain model in double precision whose layers are replaced by slow ones. vectors: [layers, slots, hidden]."""
    model = families.model(family, auto).double()
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
