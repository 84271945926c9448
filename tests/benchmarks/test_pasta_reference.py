"""The authors' formulation gives what methods/pasta gives."""

from typing import Any

import pytest
import tiny as tiny_bert
import torch
from pasta_reference import attach, vectors_of

from bench.check.examples import KINDS
from bench.errors import NotApplicable
from methods.pasta import Pasta, PastaParams


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in ("classification", "pair")])
def test_logits_and_gradients_are_those_of_pasta(tiny: tiny_bert.Tiny, kind: str) -> None:
    ours: Any = tiny.adapted(Pasta(PastaParams()), kind).module
    reference: Any = tiny.model(kind)
    reference.load_state_dict({k: v for k, v in ours.state_dict().items() if ".pasta." not in k})
    attach(reference, tiny.context(kind).template)
    reference.eval()
    mine = ours.base_model.pasta.adapter("default").vectors
    with torch.no_grad():
        for vectors, same in zip(vectors_of(reference), mine, strict=True):
            vectors.copy_(same)
    data = tiny.data(kind)
    batch = data.batch(range(len(data)))
    losses = []
    for model in (ours, reference):
        logits = model(**batch.inputs).logits
        losses.append((logits.detach(), torch.nn.functional.cross_entropy(logits, batch.labels).backward()))
    torch.testing.assert_close(losses[1][0], losses[0][0], rtol=1e-5, atol=1e-6)
    gradients = torch.stack([vectors.grad for vectors in vectors_of(reference)])  # type: ignore[misc]
    assert gradients.abs().max() > 1e-4
    torch.testing.assert_close(gradients, mine.grad, rtol=1e-4, atol=1e-6)
    query = reference.bert.encoder.layer[0].attention.self.query.weight
    assert query.grad.abs().max() > 0  # as in the authors' code, which freezes nothing
    for name in ("weight", "bias"):
        torch.testing.assert_close(
            getattr(reference.classifier, name).grad, getattr(ours.classifier, name).grad, rtol=1e-4, atol=1e-6
        )


def test_it_is_for_bert_alone() -> None:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    with pytest.raises(NotApplicable, match="roberta"):
        attach(RobertaForSequenceClassification(config), (0, 2))
