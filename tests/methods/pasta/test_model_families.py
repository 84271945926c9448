"""Which models PASTA takes, and what it says of the others."""

from typing import Any

import pytest
import tiny_encoders as families
import transformers

from bench.errors import NotApplicable
from bench.plugins.task import TaskContext
from methods.pasta import Pasta, PastaParams
from methods.pasta.adapter import add
from methods.pasta.families import FAMILIES, UnsupportedModel, family_of

SMALL: dict[str, Any] = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize("family", families.NAMES)
def test_the_dropout_of_the_family_is_the_default(family: str) -> None:
    made = families.model(family)
    setattr(made.config, family_of(made.config).dropout, 0.25)
    add(made, families.template(family, pair=False), PastaParams())
    assert made.base_model.pasta.adapter("default").dropout == 0.25


UNSUPPORTED = {
    "gpt2": lambda: transformers.GPT2Config(vocab_size=20, n_embd=8, n_layer=1, n_head=2),
    "roformer": lambda: transformers.RoFormerConfig(**SMALL, intermediate_size=8),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_unsupported_model_is_refused_by_name_with_those_that_are_supported(name: str) -> None:
    model = transformers.AutoModelForSequenceClassification.from_config(UNSUPPORTED[name]())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UnsupportedModel, match=f"does not support '{name}'") as caught:
        add(model, (2, 3), PastaParams())
    assert all(family in str(caught.value) for family in FAMILIES)
    assert model.state_dict().keys() == before.keys()
    context = TaskContext("none", "classification", False, 2, (2, 3), 0)
    with pytest.raises(NotApplicable, match="does not support"):  # the harness skips the cell with this reason
        Pasta(PastaParams()).apply(model, context)


def test_a_bert_that_is_set_up_as_a_decoder_is_refused() -> None:
    config = transformers.BertConfig(**SMALL, intermediate_size=8, is_decoder=True)
    with pytest.raises(UnsupportedModel, match="is_decoder"):
        add(transformers.BertLMHeadModel(config), (2, 3), PastaParams())


def test_a_layer_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="layers=3: this model has 3 layers"):
        add(families.model("bert"), (2, 3), PastaParams(layers=(0, 3)))


def test_a_tokenizer_without_separators_leaves_nothing_to_adapt_but_the_first_token() -> None:
    with pytest.raises(ValueError, match="tokens=sep"):
        add(families.model("bert"), (2,), PastaParams(tokens="sep"))
    model = add(families.model("bert"), (2,), PastaParams())
    assert model.base_model.pasta.adapter("default").vectors.shape == (3, 1, 32)


@pytest.mark.parametrize(
    ("text", "layers"), [("0", (0,)), ("0-2", (0, 1, 2)), ("5+1", (1, 5)), ("0-1+3-4+0", (0, 1, 3, 4))]
)
def test_layers_are_written_as_numbers_and_ranges(text: str, layers: tuple[int, ...]) -> None:
    assert PastaParams(layers=text).layers == layers  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["", "a", "2-1", "-1", "1..3", "0+", (), (-1,), (0.5,)])
def test_malformed_layers_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="layers"):
        PastaParams(layers=bad)
