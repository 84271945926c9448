"""PASTA against the paper's equation, written a second time and slowly, and against its own numbers."""

from typing import Any

import pytest
import tiny as tiny_bert
import torch
from methods._special_token_vectors import SpecialTokenVectors
from tiny import CLS, PAD, SEP, ids, mask

from bench import seeds
from bench.adaptation import adapt
from bench.errors import NotApplicable
from bench.task import TaskContext
from methods.pasta import Pasta, PastaParams

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
    vectors = model.base_model.pasta.vectors.detach().clone().requires_grad_(True)
    plain_model.requires_grad_(False)
    plain_model.classifier.requires_grad_(True)
    slow = slow_logits(plain_model, vectors, input_ids, attention, segments)
    torch.nn.functional.cross_entropy(slow, labels).backward()

    assert torch.allclose(fast, slow, rtol=0, atol=1e-9)
    assert torch.allclose(model.base_model.pasta.vectors.grad, vectors.grad, rtol=0, atol=1e-9)
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
            model.base_model.pasta.vectors,
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


def module(slots: int = 3, std: float = 1.0, dropout: float = 0.0, hidden: int = 4) -> SpecialTokenVectors:
    torch.manual_seed(0)
    return SpecialTokenVectors(2, slots, hidden, (CLS, SEP, SEP), std, dropout)


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
    found, there = module().find_slots(torch.tensor([row]))
    assert there.tolist() == [present]
    assert found.tolist() == [positions]


def test_more_than_255_special_tokens_overflow_no_counter() -> None:
    row = torch.full((1, 600), SEP)
    found, there = module().find_slots(row)
    assert found.tolist() == [[0, 1, 2]]
    assert there.all()


def test_a_token_that_is_no_slot_keeps_its_state_to_the_bit() -> None:
    adder = module()
    hidden = torch.randn(2, 6, 4)
    adder._positions, adder._present = adder.find_slots(ids([CLS, 9, SEP, 9, SEP, SEP], [9, 9, CLS, 9]))
    changed = adder(hidden, 1)
    assert torch.equal(changed[0, [1, 3, 5]], hidden[0, [1, 3, 5]])
    assert torch.equal(changed[1, [0, 1, 3, 4, 5]], hidden[1, [0, 1, 3, 4, 5]])
    assert torch.allclose(changed[0, [0, 2, 4]] - hidden[0, [0, 2, 4]], adder.vectors[1], atol=1e-6)
    assert torch.allclose(changed[1, 2] - hidden[1, 2], adder.vectors[1, 0], atol=1e-6)


def test_the_second_separator_has_a_vector_of_its_own(tiny: Any) -> None:
    model = tiny.model("classification")
    tiny_adapt(model, Pasta(PastaParams(init_std=0.5)), pairs())
    input_ids = ids(SINGLE, PAIR, LONG, NO_LAST_SEP, PAIR_NO_LAST_SEP)
    inputs = {"input_ids": input_ids, "attention_mask": mask(input_ids), "token_type_ids": types(input_ids)}
    with torch.no_grad():
        before = model(**inputs).logits
        model.base_model.pasta.vectors[:, 2] += 1.0
        third = model(**inputs).logits
        model.base_model.pasta.vectors[:, 2] -= 1.0
        model.base_model.pasta.vectors[:, 1] += 1.0
        second = model(**inputs).logits
    assert (third != before).any(1).tolist() == [False, True, False, False, False]
    assert (second != before).any(1).tolist() == [True, True, True, False, True]


def dropped(p: float, rows: int = 4000) -> torch.Tensor:
    """What is added for a vector of ones, in train mode: [rows, 2 slots, 8]."""
    adder = module(slots=2, dropout=p, hidden=8).train()
    torch.nn.init.ones_(adder.vectors)
    adder._positions, adder._present = adder.find_slots(torch.tensor([[CLS, 9, SEP]]).expand(rows, 3))
    torch.manual_seed(4)
    added = adder(torch.zeros(rows, 3, 8), 0).detach()
    assert not added[:, 1].any()
    return added[:, [0, 2]]


@pytest.mark.parametrize("p", [0.1, 0.4])
def test_dropout_drops_elements_of_the_added_vectors_for_each_example_apart(p: float) -> None:
    added = dropped(p)
    gone = (added == 0).double().flatten(1)  # [4000, 16]
    kept = added[added != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)))
    # Bounds of five standard errors; one mask shared by all examples would give shares of 0 and 1.
    assert abs(gone.mean() - p) < 5 * (p * (1 - p) / gone.numel()) ** 0.5
    assert (gone.mean(0) - p).abs().max() < 5 * (p * (1 - p) / len(gone)) ** 0.5
    # Neither are elements dropped together: no two of the sixteen columns are correlated.
    correlation = torch.corrcoef(gone.T) - torch.eye(16)
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
    assert model.base_model.pasta.dropout.p == 0.25
    assert model.base_model.pasta.vectors.shape == (3, 3, 32)
    assert 0.6 < model.base_model.pasta.vectors.std() < 0.8  # of 288 draws: 0.7 and 3.4 standard errors to each side
    assert abs(model.base_model.pasta.vectors.mean()) < 0.2


@pytest.mark.parametrize("bad", [{"dropout": 1.0}, {"dropout": -0.1}, {"init_std": -1.0}, {"slots": 2}])
def test_bad_parameters_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        PastaParams(**bad)


def test_states_may_come_by_keyword_or_by_position() -> None:
    adder, seen = module(), []

    class Layer(torch.nn.Module):
        def forward(self, hidden_states: torch.Tensor, mask: str = "") -> torch.Tensor:
            seen.append(mask)
            return hidden_states

    class Backbone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([Layer(), Layer()])

        def forward(self, input_ids: torch.Tensor, by_name: bool = False) -> torch.Tensor:
            hidden = torch.zeros(*input_ids.shape, 4)
            for layer in self.layers:
                hidden = layer(hidden_states=hidden, mask="k") if by_name else layer(hidden, "p")
            return hidden

    backbone = Backbone()
    adder.attach(backbone, backbone.layers)
    rows = ids([CLS, 9, SEP], [9, CLS])
    outputs = [backbone(rows), backbone(rows, by_name=True), backbone(input_ids=rows)]
    want = torch.zeros(2, 3, 4)
    both = adder.vectors.sum(0)
    want[0, 0], want[0, 2], want[1, 1] = both[0], both[1], both[0]
    for output in outputs:
        assert torch.allclose(output, want, atol=1e-6)
    assert seen == ["p", "p", "k", "k", "p", "p"]  # the other arguments pass through


def test_a_call_without_input_ids_is_refused(tiny: Any) -> None:
    model = tiny.adapted(Pasta(PastaParams()), "classification").module
    with pytest.raises(ValueError, match="input_ids"):
        model(inputs_embeds=torch.zeros(1, 4, 32))


@pytest.mark.parametrize("family", ["distilbert", "gpt2"])
def test_an_unknown_family_is_named(family: str) -> None:
    import transformers

    if family == "distilbert":
        small = transformers.DistilBertConfig(vocab_size=20, dim=8, n_layers=1, n_heads=2, hidden_dim=8)
        model = transformers.DistilBertForSequenceClassification(small)
    else:
        model = transformers.GPT2ForSequenceClassification(
            transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2)
        )
    with pytest.raises(NotApplicable, match=family):
        Pasta(PastaParams()).apply(model, plain("classification"))


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable.:FutureWarning")
def test_gradient_checkpointing_gives_the_same_gradients(tiny: Any) -> None:
    data = tiny.data("pair", 4).batch(range(4))
    gradients = []
    for checkpointing in (False, True):
        model = tiny.adapted(Pasta(PastaParams(init_std=0.5, dropout=0.0)), "pair").module
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        for layer in model.bert.encoder.layer:
            layer.attention.self.dropout.p = 0.0
        model(**data.inputs, labels=data.labels).loss.backward()
        gradients.append(model.base_model.pasta.vectors.grad)
    assert gradients[0].abs().max() > 1e-3
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


def test_mixed_precision_runs_and_stays_close(tiny: Any) -> None:
    model = tiny.adapted(Pasta(PastaParams(init_std=0.5)), "pair").module
    data = tiny.data("pair", 4).batch(range(4))
    exact = model(**data.inputs).logits
    with torch.autocast("cpu", torch.bfloat16):
        output = model(**data.inputs, labels=data.labels)
    output.loss.backward()
    assert model.base_model.pasta.vectors.grad.dtype == torch.float32
    assert model.base_model.pasta.vectors.grad.isfinite().all()
    assert model.base_model.pasta.vectors.grad.abs().max() > 1e-3
    assert torch.allclose(output.logits.float(), exact, atol=0.2)
    half = tiny.adapted(Pasta(PastaParams(init_std=0.5)), "pair").module.bfloat16()
    assert half(**data.inputs).logits.isfinite().all()


def test_the_forward_pass_reads_no_value_back_to_python(tiny: Any) -> None:
    """On a GPU a value that Python looks at makes every step wait. Fake tensors have no values to look at."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    adder = module()
    with FakeTensorMode(allow_non_fake_inputs=True):
        hidden = torch.empty(5, 7, 4)
        adder._look(adder, (), {"input_ids": torch.empty(5, 7, dtype=torch.int64)})
        assert adder(hidden, 0).shape == (5, 7, 4)


@pytest.mark.slow
def test_it_compiles_without_a_graph_break(tiny: Any) -> None:
    model = tiny.adapted(Pasta(PastaParams(init_std=0.5)), "pair").module
    inputs = tiny.data("pair", 4).batch(range(4)).inputs
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert torch.allclose(compiled(**inputs).logits, model(**inputs).logits, atol=1e-5)
