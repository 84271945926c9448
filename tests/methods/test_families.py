"""Every method on tiny models of several families: it works, or says by name why it does not."""

from dataclasses import replace
from typing import Any

import pytest
import tiny_encoders
import torch

from bench.errors import NotApplicable
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train import kernels
from bench.train.adaptation import adapt
from bench.train.model import dropouts

FAMILIES = ("albert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "roberta", "xlm-roberta")
# What does not apply where, and the reason that is given.
_NO_CACHE = ("albert", "deberta", "deberta-v2", "distilbert", "modernbert", "mpnet")
REFUSED = {
    **{("adapters", family): "adapters do not know the model family" for family in _NO_CACHE},
    **{("prefix_tuning", family): "do not take any" for family in _NO_CACHE},
    **{("ia3", family): "ia3 does not know the model family" for family in ("albert", "deberta", "modernbert")},
    ("bitfit", "modernbert"): "bitfit trains bias terms, and a 'modernbert' model has none",
}
METHODS = ("full", "head", "bitfit", "lora", "ia3", "adapters", "prompt_tuning[tokens=3]", "prefix_tuning[tokens=3]")


def build(spec: str) -> Any:
    return build_method(registry.methods(), parse(spec))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("spec", METHODS)
def test_a_method_works_or_says_why_not(spec: str, family: str) -> None:
    method, inputs = build(spec), tiny_encoders.inputs(family)
    if reason := REFUSED.get((method.name, family)):
        with pytest.raises(NotApplicable, match=reason):
            tiny_encoders.adapted(method, family)
        return
    adapted = tiny_encoders.adapted(method, family)
    adapted.module(**inputs).logits.square().sum().backward()
    trained = {name: p for name, p in adapted.module.named_parameters() if p.requires_grad}
    formula = method.trainable_formula(adapted.module.config, tiny_encoders.context(family))
    assert formula in (None, adapted.parameters.trainable)
    assert (adapted.parameters.trainable > 0) == (method.name != "head")
    got = [name for name, p in trained.items() if p.grad is not None and p.grad.abs().max() > 0]
    assert set(got) >= {name for name in trained if name.startswith("classifier")}
    assert (len(got) > len(adapted.head)) == (method.name != "head")

    base = tiny_encoders.model(family)
    own = dict(adapted.module.named_parameters())
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            parameter.copy_(own.get(name, parameter))  # the head
    same = torch.equal(adapted.module(**inputs).logits, base(**inputs).logits)
    assert same == method.starts_at_base()


@pytest.mark.parametrize("kind", ["classification", "token-classification"])
@pytest.mark.parametrize("pooling", ["model", "mean"])
@pytest.mark.parametrize("family", FAMILIES)
def test_without_dropout_training_is_exact_and_no_text_depends_on_its_batch(
    family: str, pooling: Any, kind: Any
) -> None:
    """With the probabilities that the harness sets, under the names that it knows, and its own attention."""
    model = tiny_encoders.model(family, kind, **dict.fromkeys(dropouts(tiny_encoders.config(family)), 0.0))
    context = replace(tiny_encoders.context(family, kind), pooling=pooling)
    module = adapt(model, build("pasta"), context, seeds.streams(0)).module
    kernels.install(module, "16-bit")
    inputs, real = tiny_encoders.inputs(family), tiny_encoders.inputs(family)["attention_mask"].bool()
    with torch.no_grad():
        trained, found = module.train()(**inputs).logits, module.eval()(**inputs).logits
        for at, length in enumerate(real.sum(1).tolist()):
            alone = module(**{name: value[at : at + 1, :length] for name, value in inputs.items()}).logits[0]
            shown = found[at] if kind == "classification" else found[at, :length]
            torch.testing.assert_close(shown, alone, atol=1e-5, rtol=1e-4)
            ours = trained[at] if kind == "classification" else trained[at, :length]
            torch.testing.assert_close(ours, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("family", "modules", "count"),
    [
        ("bert", ("query", "value"), 3 * 2 * 2 * 8 * 32),
        ("camembert", ("query", "value"), 3 * 2 * 2 * 8 * 32),
        ("distilbert", ("q_lin", "v_lin"), 3 * 2 * 2 * 8 * 32),
        ("deberta-v2", ("query_proj", "value_proj"), 3 * 2 * 2 * 8 * 32),
        ("mpnet", ("q", "v"), 3 * 2 * 2 * 8 * 32),
        ("modernbert", ("Wqkv",), 3 * 8 * (32 + 96)),
        ("albert", ("query", "value"), 4 * 2 * 2 * 8 * 32),  # four sets of weights for eight layers
    ],
)
def test_lora_goes_where_the_family_has_query_and_value(family: str, modules: tuple[str, ...], count: int) -> None:
    adapted = tiny_encoders.adapted(build("lora"), family)
    names = {
        name.split(".lora_")[0].rpartition(".")[2] for name, _ in adapted.module.named_parameters() if "lora" in name
    }
    assert names == set(modules)
    assert adapted.parameters.trainable == count
    assert build("lora").trainable_formula(adapted.module.config, tiny_encoders.context(family)) in (None, count)


@pytest.mark.parametrize("spec", ["lora[targets=query+valeu]", "peft:vera[target_modules=query+valeu]"])
def test_a_target_that_is_not_there_is_named_with_those_that_are(spec: str) -> None:
    with pytest.raises(NotApplicable) as caught:
        tiny_encoders.adapted(build(spec), "bert")
    assert str(caught.value) == (
        f"{spec.partition('[')[0]}: the model has no module 'valeu'; its linear modules are: dense, key, query, value."
    )


@pytest.mark.parametrize("spec", ["peft:lora", "peft:ia3", "peft:ln_tuning", "peft:vera[r=4]"])
def test_where_peft_has_no_default_targets_the_parameter_is_named(spec: str) -> None:
    with pytest.raises(NotApplicable) as caught:
        tiny_encoders.adapted(build(spec), "modernbert")
    assert str(caught.value) == (
        f"{spec.partition('[')[0]}: PEFT has no default target modules for the model family 'modernbert'; "
        "name some with target_modules=A+B, of: Wi, Wo, Wqkv."
    )


@pytest.mark.parametrize("spec", ["peft:lora[target_modules=Wqkv]", "peft:prompt_tuning[num_virtual_tokens=3]"])
def test_with_targets_named_they_work(spec: str) -> None:
    assert tiny_encoders.adapted(build(spec), "modernbert").parameters.trainable > 0


def test_a_config_that_does_not_fit_the_model_is_said_not_to_in_pefts_words() -> None:
    with pytest.raises(NotApplicable, match=r"^peft:c3a cannot be put on this bert model: The block size should be"):
        tiny_encoders.adapted(build("peft:c3a[block_size=256]"), "bert")


@pytest.mark.parametrize("family", ["electra", "albert"])
def test_prompts_are_as_wide_as_the_embeddings(family: str) -> None:
    adapted = tiny_encoders.adapted(build("prompt_tuning[tokens=3]"), family)
    assert adapted.parameters.trainable == 3 * tiny_encoders.EMBEDDED
    assert adapted.module(**tiny_encoders.inputs(family)).logits.isfinite().all()
