"""PASTA against the paper's equation, written a second time and slowly, and against its own numbers."""

from typing import Any

import pytest
import tiny as tiny_bert
import torch
from tiny import CLS, PAD, SEP, ids, mask

from bench.grid import seeds
from bench.plugins.task import TaskContext
from bench.train.adaptation import adapt
from methods.pasta import Pasta, PastaParams
from methods.pasta.vectors import find_slots

FILM, GOOD, BAD = (tiny_bert.VOCAB.index(word) for word in ("film", "good", "bad"))
SINGLE = [CLS, FILM, GOOD, SEP]
LONG = [CLS, GOOD, FILM, BAD, GOOD, FILM, BAD, SEP]
PAIR = [CLS, FILM, SEP, BAD, GOOD, SEP]
NO_LAST_SEP = [CLS, FILM, GOOD, BAD, GOOD]
PAIR_NO_LAST_SEP = [CLS, FILM, SEP, BAD, GOOD, BAD]
EXTRA = [CLS, FILM, SEP, BAD, SEP, GOOD, SEP, SEP]  # five special tokens
ONLY_SPECIAL = [CLS, SEP]


def plain(kind: str, num_labels: int = 3) -> Any:
    """A task context by hand; for pairs three slots, for the rest two."""
    return TaskContext("by-hand", kind, False, num_labels, (CLS, SEP), PAD)


def pairs(num_labels: int = 3) -> TaskContext:
    return TaskContext("by-hand", "classification", True, num_labels, (CLS, SEP, SEP), PAD)


def types(input_ids: torch.Tensor) -> torch.Tensor:
    """Segment 1 begins after the first [SEP]."""
    seps = (input_ids == SEP).cumsum(1)
    return ((seps - (input_ids == SEP).long() >= 1) & (input_ids != PAD)).long()


def vectors_of(model: Any) -> Any:
    """The trained vectors: [layers, slots, hidden]."""
    return model.base_model.pasta.adapter("default").vectors


def slow_logits(
    model: Any, vectors: torch.Tensor, input_ids: torch.Tensor, attention: torch.Tensor, segments: torch.Tensor
) -> torch.Tensor:
    """h_i + e(v_p) by Python loops and one-hot matrices, running the layers of a plain BERT by hand."""
    slots = vectors.shape[1]
    onehot = torch.zeros(len(input_ids), slots, input_ids.shape[1], dtype=vectors.dtype)
    for row, tokens in enumerate(input_ids.tolist()):
        slot = 0
        for position, token in enumerate(tokens):
            if token in (CLS, SEP):
                if slot < slots:
                    onehot[row, slot, position] = 1.0
                slot += 1
    hidden = model.bert.embeddings(input_ids=input_ids, token_type_ids=segments)
    blocked = torch.zeros(attention.shape, dtype=hidden.dtype).masked_fill(
        attention == 0, torch.finfo(hidden.dtype).min
    )
    for index, layer in enumerate(model.bert.encoder.layer):
        hidden = hidden + onehot.transpose(1, 2) @ vectors[index]
        hidden = layer(hidden, blocked[:, None, None, :].expand(-1, -1, input_ids.shape[1], -1))
    if model.bert.pooler is None:
        return model.classifier(hidden)
    first = hidden[:, 0]
    return model.classifier(torch.tanh(first @ model.bert.pooler.dense.weight.T + model.bert.pooler.dense.bias))


def tiny_adapt(model: Any, method: Pasta, context: TaskContext) -> Any:
    module = adapt(model, method, context, seeds.streams(0)).module
    return module.eval()


BATCHES = {
    "one": [SINGLE],
    "padded": [SINGLE, LONG, ONLY_SPECIAL],
    "pair": [PAIR],
    "pairs and singles": [PAIR, SINGLE, LONG, PAIR],
    "last [SEP] cut away": [NO_LAST_SEP, SINGLE, PAIR_NO_LAST_SEP],
    "more special tokens than slots": [EXTRA, PAIR, ONLY_SPECIAL],
    "no special token": [[FILM, GOOD, BAD], PAIR],
}


@pytest.mark.parametrize("slots", [2, 3, 4])
@pytest.mark.parametrize("batch", BATCHES)
def test_logits_and_gradients_are_those_of_the_slow_formulation(tiny: Any, batch: str, slots: int) -> None:
    context = TaskContext("by-hand", "classification", slots > 2, 3, (CLS, *[SEP] * (slots - 1)), PAD)
    model, plain_model = tiny.model("classification"), tiny.model("classification").double()
    adapted = tiny_adapt(model, Pasta(PastaParams(init_std=0.5)), context).double()
    plain_model.classifier.load_state_dict(model.classifier.state_dict())
    input_ids = ids(*BATCHES[batch])
    attention, segments = mask(input_ids), types(input_ids)
    labels = torch.arange(len(input_ids)) % 3

    fast = adapted(input_ids=input_ids, attention_mask=attention, token_type_ids=segments).logits
    torch.nn.functional.cross_entropy(fast, labels).backward()
    vectors = vectors_of(model).detach().clone().requires_grad_(True)
    plain_model.requires_grad_(False)
    plain_model.classifier.requires_grad_(True)
    slow = slow_logits(plain_model, vectors, input_ids, attention, segments)
    torch.nn.functional.cross_entropy(slow, labels).backward()

    assert torch.allclose(fast, slow, rtol=0, atol=1e-9)
    assert torch.allclose(vectors_of(model).grad, vectors.grad, rtol=0, atol=1e-9)
    assert vectors.grad.abs().max() > 1e-4  # what was compared is not two times nothing
    for mine, other in zip(model.classifier.parameters(), plain_model.classifier.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
def test_tokenised_and_truncated_tasks_agree_with_the_slow_formulation(tiny: Any, kind: str) -> None:
    model, plain_model = tiny.model(kind), tiny.model(kind)
    tiny.adapted(Pasta(PastaParams(init_std=0.5)), kind, model=model)
    plain_model.classifier.load_state_dict(model.classifier.state_dict())
    data = tiny.data(kind, 8)
    assert data.lengths.max() == 16  # the longest are truncated
    assert data.lengths.min() < 16  # and some are padded
    inputs = data.batch(range(8)).inputs
    with torch.no_grad():
        fast = model(**inputs).logits
        slow = slow_logits(
            plain_model,
            vectors_of(model),
            inputs["input_ids"],
            inputs["attention_mask"],
            inputs["token_type_ids"],
        )
    assert torch.allclose(fast, slow, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
def test_zero_vectors_are_the_base_model_bit_for_bit(tiny: Any, kind: str) -> None:
    model, base = tiny.model(kind), tiny.model(kind)
    tiny.adapted(Pasta(PastaParams(init_std=0)), kind, model=model)
    base.classifier.load_state_dict(model.classifier.state_dict())
    data = tiny.data(kind)
    assert torch.equal(tiny_bert.logits(model, data), tiny_bert.logits(base, data))


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
def test_padding_changes_no_answer(tiny: Any, kind: str) -> None:
    model = tiny.adapted(Pasta(PastaParams(init_std=0.5)), kind).module
    data = tiny.data(kind, 6)
    together = tiny_bert.logits(model, data)
    for index in range(6):
        with torch.no_grad():
            alone = model(**data.batch([index]).inputs).logits
        where = (0, slice(alone.shape[1])) if kind == "token-classification" else (0,)
        assert torch.allclose(together[index][where[1:]], alone[0], rtol=1e-5, atol=1e-5)


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


def entering(model: Any, layer: int, input_ids: torch.Tensor) -> torch.Tensor:
    """What a layer's own code is given: [batch, length, hidden]."""
    seen: list[torch.Tensor] = []

    def keep(module: Any, args: Any) -> None:
        seen.append(args[0].detach())

    handle = model.bert.encoder.layer[layer].register_forward_pre_hook(keep)
    model(input_ids=input_ids, attention_mask=mask(input_ids))
    handle.remove()
    return seen[0]


def test_a_token_that_is_no_slot_keeps_its_state_to_the_bit(tiny: Any) -> None:
    model, plain_model = tiny.model("classification"), tiny.model("classification")
    tiny_adapt(model, Pasta(PastaParams(init_std=0.5)), pairs())
    rows = ids([CLS, 9, SEP, 9, SEP, SEP], [9, 9, CLS, 9])
    changed, hidden = entering(model, 0, rows), entering(plain_model, 0, rows)
    assert torch.equal(changed[0, [1, 3, 5]], hidden[0, [1, 3, 5]])
    assert torch.equal(changed[1, [0, 1, 3, 4, 5]], hidden[1, [0, 1, 3, 4, 5]])
    vectors = vectors_of(model).detach()[0]
    assert torch.allclose(changed[0, [0, 2, 4]] - hidden[0, [0, 2, 4]], vectors, atol=1e-6)
    assert torch.allclose(changed[1, 2] - hidden[1, 2], vectors[0], atol=1e-6)


def test_the_second_separator_has_a_vector_of_its_own(tiny: Any) -> None:
    model = tiny.model("classification")
    tiny_adapt(model, Pasta(PastaParams(init_std=0.5)), pairs())
    input_ids = ids(SINGLE, PAIR, LONG, NO_LAST_SEP, PAIR_NO_LAST_SEP)
    inputs = {"input_ids": input_ids, "attention_mask": mask(input_ids), "token_type_ids": types(input_ids)}
    with torch.no_grad():
        before = model(**inputs).logits
        vectors_of(model)[:, 2] += 1.0
        third = model(**inputs).logits
        vectors_of(model)[:, 2] -= 1.0
        vectors_of(model)[:, 1] += 1.0
        second = model(**inputs).logits
    assert (third != before).any(1).tolist() == [False, True, False, False, False]
    assert (second != before).any(1).tolist() == [True, True, True, False, True]


def dropped(tiny: Any, p: float, rows: int = 4000) -> torch.Tensor:
    """What is added for vectors of ones, in train mode: [rows, 2 slots, 32]."""
    model = tiny.model("classification")
    tiny_adapt(model, Pasta(PastaParams(dropout=p)), plain("classification"))
    torch.nn.init.ones_(vectors_of(model))
    input_ids = torch.tensor([[CLS, 9, SEP]]).expand(rows, 3)
    base = entering(model.eval(), 0, input_ids) - 1 * torch.tensor([[1.0], [0.0], [1.0]])
    model.base_model.pasta.train()
    torch.manual_seed(4)
    added = entering(model, 0, input_ids) - base
    assert added[:, 1].abs().max() == 0
    return added[:, [0, 2]]


@pytest.mark.parametrize("p", [0.1, 0.4])
def test_dropout_drops_elements_of_the_added_vectors_for_each_example_apart(tiny: Any, p: float) -> None:
    added = dropped(tiny, p)
    gone = (added.abs() < 1e-5).double().flatten(1)  # [4000, 64]
    kept = added[added.abs() >= 1e-5]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)), atol=1e-5)
    # Bounds of five standard errors; one mask shared by all examples would give shares of 0 and 1.
    assert abs(gone.mean() - p) < 5 * (p * (1 - p) / gone.numel()) ** 0.5
    assert (gone.mean(0) - p).abs().max() < 5 * (p * (1 - p) / len(gone)) ** 0.5
    # Neither are elements dropped together: no two of the 64 columns are correlated.
    correlation = torch.corrcoef(gone.T) - torch.eye(64)
    assert correlation.abs().max() < 5 / len(gone) ** 0.5


def test_dropout_is_off_in_evaluation(tiny: Any) -> None:
    model = tiny.adapted(Pasta(PastaParams(init_std=0.5, dropout=0.9)), "classification").module
    data = tiny.data("classification")
    other = tiny.adapted(Pasta(PastaParams(init_std=0.5, dropout=0.0)), "classification").module
    assert torch.equal(tiny_bert.logits(model, data), tiny_bert.logits(other, data))


def test_parameters_default_to_the_models_own(tiny: Any) -> None:
    model = tiny.model("classification")
    model.config.hidden_dropout_prob, model.config.initializer_range = 0.25, 0.7
    tiny_adapt(model, Pasta(PastaParams()), pairs())
    assert model.base_model.pasta.adapter("default").dropout == 0.25
    assert vectors_of(model).shape == (3, 3, 32)
    assert 0.6 < vectors_of(model).std() < 0.8  # of 288 draws: 0.7 and 3.4 standard errors to each side
    assert abs(vectors_of(model).mean()) < 0.2


@pytest.mark.parametrize("bad", [{"dropout": 1.0}, {"dropout": -0.1}, {"init_std": -1.0}, {"slots": 2}])
def test_bad_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        PastaParams(**bad)


def test_a_call_without_input_ids_is_refused(tiny: Any) -> None:
    model = tiny.adapted(Pasta(PastaParams()), "classification").module
    with pytest.raises(ValueError, match="input_ids"):
        model(inputs_embeds=torch.zeros(1, 4, 32))
