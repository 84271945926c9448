"""Predictions against single examples, one at a time."""

import math
from typing import Any

import pytest
import tiny as tiny_bert
import torch

from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train.evaluation import PredictionError, predict

every_kind = pytest.mark.parametrize("kind", tiny_bert.KINDS)


def adapted(tiny: tiny_bert.Tiny, kind: str) -> Any:
    return tiny.adapted(build_method(registry.methods(), parse("pasta")), kind).module


@every_kind
def test_predictions_are_in_the_datas_order_whatever_the_batch_size(tiny: tiny_bert.Tiny, kind: str) -> None:
    data, module = tiny.data(kind, 11), adapted(tiny, kind)
    if kind != "regression":  # so that no label is predicted everywhere
        module.classifier.bias.data -= tiny_bert.logits(module, data).flatten(0, -2).mean(0)
    want: list[Any] = []
    for i in range(11):
        with torch.no_grad():
            logits = module(**data.batch([i]).inputs).logits[0]
        if kind == "regression":
            want.append(float(logits[0]))
        elif kind == "multi-label":
            want.append([label for label in range(3) if float(torch.sigmoid(logits[label])) > 0.5])
        elif kind == "token-classification":
            want.append([-1 if at < 0 else int(logits[at].argmax()) for at in data.word_starts[i]])
        else:
            want.append(int(logits.argmax()))
    for size in (1, 4, 100):
        module.train()  # predict has to set the mode itself
        found = predict(module, data, tiny_bert.profile(eval_batch_size=size))
        assert not module.training
        assert found == (pytest.approx(want, abs=1e-5) if kind == "regression" else want)
    assert len({str(prediction) for prediction in want}) > 1
    if kind == "token-classification":
        assert any(-1 in row for row in want)
        assert [len(row) for row in want] == [len(row) for row in data.references]


@pytest.mark.parametrize("kind", ["classification", "pair", "multi-label"])
def test_probabilities_are_those_of_the_logits(tiny: tiny_bert.Tiny, kind: str) -> None:
    data, module = tiny.data(kind, 11), adapted(tiny, kind)
    logits = tiny_bert.logits(module.eval(), data).double()
    want = logits.sigmoid() if kind == "multi-label" else logits.softmax(-1)
    want = want[:, 1] if kind == "pair" else want  # two classes: of label 1
    found = predict(module, data, tiny_bert.profile(eval_batch_size=4), as_probabilities=True)
    assert torch.allclose(torch.tensor(found, dtype=torch.float64), want, rtol=0, atol=1e-5)
    numbers = found if kind == "pair" else [each for row in found for each in row]
    assert all(each == float(f"{each:.7g}") for each in numbers)
    with torch.no_grad():
        module.classifier.bias.fill_(math.nan)
    with pytest.raises(PredictionError):
        predict(module, data, tiny_bert.profile(), as_probabilities=True)


@every_kind
def test_predictions_that_are_not_numbers_are_an_error(kind: str, tiny: tiny_bert.Tiny) -> None:
    """NaN logits have a largest one like any others."""
    module, data = adapted(tiny, kind), tiny.data(kind)

    def spoil(module: Any, inputs: Any, output: Any) -> None:
        output.logits[0] = math.nan  # of one example in each batch

    module.register_forward_hook(spoil)
    batches = math.ceil(len(data) / 4)
    with pytest.raises(PredictionError, match=rf"predictions for {batches} of {len(data)} examples are not numbers$"):
        predict(module, data, tiny_bert.profile(eval_batch_size=4))
