"""Where PASTA's vectors go, token by token, how they are drawn and how they are dropped."""

from typing import Any

import pytest
import tiny_encoders as families
import torch
from tiny import CLS, PAD, SEP, ids, mask

from methods.pasta import PastaParams
from methods.pasta.adapter import add
from methods.pasta.vectors import find_slots


def found(rows: torch.Tensor, slots: tuple[int, ...] = (0, 1, 2)) -> tuple[Any, Any]:
    positions, present = find_slots(rows, torch.tensor([CLS, SEP]), torch.tensor(slots))
    return positions.tolist(), present.tolist()


@pytest.mark.parametrize(
    ("row", "positions", "present"),
    [
        ([CLS, 9, 9, SEP], [0, 3, 0], [True, True, False]),
        ([CLS, 9, SEP, 9, SEP], [0, 2, 4], [True, True, True]),
        ([CLS, 9, SEP, 9, SEP, PAD, PAD], [0, 2, 4], [True, True, True]),
        ([CLS, 9, 9, PAD], [0, 0, 0], [True, False, False]),
        ([CLS, SEP, SEP, SEP, SEP], [0, 1, 2], [True, True, True]),
        ([9, CLS, SEP], [1, 2, 0], [True, True, False]),
        ([SEP, 9, CLS], [0, 2, 0], [True, True, False]),  # whichever token it is
        ([9, 9, 9], [0, 0, 0], [False, False, False]),
        ([PAD, PAD, CLS, 9, SEP], [2, 4, 0], [True, True, False]),  # padded on the left
    ],
)
def test_slots_are_found_where_they_stand(row: list[int], positions: list[int], present: list[bool]) -> None:
    assert found(torch.tensor([row])) == ([positions], [present])


def test_more_than_255_special_tokens_overflow_no_counter() -> None:
    assert found(torch.full((1, 600), SEP)) == ([[0, 1, 2]], [[True, True, True]])
    assert found(torch.full((1, 600), SEP), (599, 600)) == ([[599, 0]], [[True, False]])


def test_occurrences_count_all_special_tokens_though_one_alone_is_looked_for() -> None:
    assert found(torch.tensor([[CLS, 9, SEP, 9, SEP]]), (2,)) == ([[4]], [[True]])


def adapted(template: tuple[int, ...] = (CLS, SEP, SEP), **params: Any) -> Any:
    return add(families.model("bert"), template, PastaParams(**params))


def vectors_of(model: Any) -> Any:
    return model.base_model.pasta.adapter("default").vectors


def entering(model: Any, input_ids: torch.Tensor) -> torch.Tensor:
    """What the first layer's own code is given: [batch, length, hidden]."""
    seen: list[torch.Tensor] = []
    handle = model.bert.encoder.layer[0].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    model(input_ids=input_ids, attention_mask=mask(input_ids))
    handle.remove()
    return seen[0]


def test_a_token_that_is_no_slot_keeps_its_state_to_the_bit() -> None:
    model, rows = adapted(init_std=0.5), ids([CLS, 9, SEP, 9, SEP, SEP], [9, 9, CLS, 9])
    changed, hidden = entering(model, rows), entering(families.model("bert"), rows)
    assert torch.equal(changed[0, [1, 3, 5]], hidden[0, [1, 3, 5]])
    assert torch.equal(changed[1, [0, 1, 3, 4, 5]], hidden[1, [0, 1, 3, 4, 5]])
    vectors = vectors_of(model).detach()[0]
    assert torch.allclose(changed[0, [0, 2, 4]] - hidden[0, [0, 2, 4]], vectors, atol=1e-6)
    assert torch.allclose(changed[1, 2] - hidden[1, 2], vectors[0], atol=1e-6)


def test_dropout_drops_elements_of_the_added_vectors_for_each_example_apart() -> None:
    p = 0.4
    model, input_ids = adapted((CLS, SEP), dropout=p), torch.tensor([[CLS, 9, SEP]]).expand(4000, 3)
    torch.nn.init.ones_(vectors_of(model))
    hidden = entering(families.model("bert"), input_ids)
    assert torch.allclose(entering(model, input_ids)[:, [0, 2]], hidden[:, [0, 2]] + 1, atol=1e-5)  # none in evaluation
    model.base_model.pasta.train()
    torch.manual_seed(4)
    added = (entering(model, input_ids) - hidden)[:, [0, 2]]
    gone = (added.abs() < 1e-5).double().flatten(1)  # [4000, 64]
    kept = added[added.abs() >= 1e-5]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)), atol=1e-5)
    # Bounds of five standard errors; one mask shared by all examples would give shares of 0 and 1.
    assert abs(gone.mean() - p) < 5 * (p * (1 - p) / gone.numel()) ** 0.5
    assert (gone.mean(0) - p).abs().max() < 5 * (p * (1 - p) / len(gone)) ** 0.5
    # Neither are elements dropped together: no two of the 64 columns are correlated.
    correlation = torch.corrcoef(gone.T) - torch.eye(64)
    assert correlation.abs().max() < 5 / len(gone) ** 0.5


def test_the_spread_of_new_vectors_defaults_to_the_models() -> None:
    model = families.model("bert", initializer_range=0.7)
    vectors = vectors_of(add(model, (CLS, SEP, SEP), PastaParams()))
    assert vectors.shape == (3, 3, 32)
    assert 0.6 < vectors.std() < 0.8  # of 288 draws: 0.7 and 3.4 standard errors to each side
    assert abs(vectors.mean()) < 0.2


def test_a_call_without_input_ids_is_refused() -> None:
    with pytest.raises(ValueError, match="input_ids"):
        adapted()(inputs_embeds=torch.zeros(1, 4, 32))
