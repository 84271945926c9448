"""The ways in which a model is run: attention kernels, checkpointed, mixed precision, copied, compiled."""

import copy
import pickle
from typing import Any

import pytest
import tiny_encoders as families
import torch
from torch.nn import functional

from methods.pasta import PastaParams
from methods.pasta.adapter import add

every_family = pytest.mark.parametrize("family", families.NAMES)
LABELS = torch.tensor([0, 1, 2, 1])


def adapted(family: str, pair: bool = True, attention: str | None = None, **params: Any) -> Any:
    params = {"init_std": 0.5, "dropout": 0.0, **params}
    torch.manual_seed(3)
    model = families.model(family, attention=attention)
    torch.manual_seed(4)
    return add(model, families.template(family, pair), PastaParams(**params))


def vectors_of(model: Any) -> Any:
    return model.base_model.pasta.adapter("default").vectors


def gradient(model: Any, family: str) -> torch.Tensor:
    loss = functional.cross_entropy(model(**families.inputs(family, pair=True)).logits.float(), LABELS)
    loss.backward()
    found: torch.Tensor = vectors_of(model).grad
    assert found.abs().max() > 1e-4
    return found


@every_family
def test_both_attention_kernels_give_the_same(family: str) -> None:
    if not families.model(family)._supports_sdpa:
        with pytest.raises(ValueError, match="scaled_dot_product_attention"):
            families.model(family, attention="sdpa")
        return
    eager, sdpa = (adapted(family, attention=kernel) for kernel in ("eager", "sdpa"))
    assert torch.allclose(gradient(eager, family), gradient(sdpa, family), atol=1e-5)


@every_family
@pytest.mark.filterwarnings("ignore:.gradient_checkpointing_enable.:FutureWarning")
def test_gradient_checkpointing_gives_the_same_gradients(family: str) -> None:
    if not families.model(family).supports_gradient_checkpointing:
        pytest.skip(f"transformers has no gradient checkpointing for {family}")
    gradients = []
    for reentrant in (None, False, True):
        model = families.no_dropout(adapted(family))
        if reentrant is not None:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        gradients.append(gradient(model.train(), family))
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)
    assert torch.allclose(gradients[0], gradients[2], atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "modernbert"])
def test_mixed_precision_runs_and_stays_close(family: str) -> None:
    model, inputs = adapted(family), families.inputs(family, pair=True)
    exact = model(**inputs).logits
    with torch.autocast("cpu", torch.bfloat16):
        output = model(**inputs)
        functional.cross_entropy(output.logits.float(), LABELS).backward()
    assert vectors_of(model).grad.dtype == torch.float32
    assert vectors_of(model).grad.isfinite().all()
    assert vectors_of(model).grad.abs().max() > 1e-4
    assert torch.allclose(output.logits.float(), exact, atol=0.3)
    assert adapted(family).bfloat16()(**inputs).logits.isfinite().all()


def test_a_copy_and_a_pickled_model_have_vectors_and_hooks_of_their_own() -> None:
    model, inputs = adapted("bert"), families.inputs("bert", pair=True)
    before = model(**inputs).logits
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(**inputs).logits, before)
        with torch.no_grad():
            vectors_of(other).add_(1.0)
        assert not torch.equal(other(**inputs).logits, before)
        assert torch.equal(model(**inputs).logits, before)


def test_everything_is_made_on_the_models_own_device() -> None:
    """The meta device stands in for a GPU: it takes part in no computation with a CPU's tensors either."""
    model = families.model("bert").to("meta")
    for name in ("first", "second"):
        add(model, families.template("bert", pair=True), PastaParams(), name=name)
    input_ids = families.inputs("bert", pair=True)["input_ids"].to("meta")
    assert {tensor.device.type for tensor in (*model.parameters(), *model.bert.pasta.buffers())} == {"meta"}
    for choice in ("first", torch.tensor([0, 1, 1, 0]), ["second", "first", "first", "first"]):
        assert model(input_ids, adapters=choice).logits.device.type == "meta"


def test_the_forward_pass_reads_no_value_back_to_python() -> None:
    """On a GPU a value that Python looks at makes every step wait. Fake tensors have no values to look at."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    pasta = adapted("bert").base_model.pasta
    with FakeTensorMode(allow_non_fake_inputs=True):
        pasta._before_backbone(pasta, (), {"input_ids": torch.empty(5, 7, dtype=torch.int64)})
        (changed,), _ = pasta._before_layer((1,), pasta, (torch.empty(5, 7, 32),), {})
        assert changed.shape == (5, 7, 32)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "albert", "modernbert"])
def test_it_compiles_without_a_graph_break(family: str) -> None:
    model, inputs = adapted(family), families.inputs(family, pair=True)
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        assert torch.allclose(compiled(**inputs).logits, model(**inputs).logits, atol=1e-5)
