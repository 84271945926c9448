"""What a head for whole texts reads, family by family against a computation by hand, and with every method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_encoders
import torch
from torch import Tensor

from bench.errors import NotApplicable, SourceError, UsageError
from bench.forecast.parameters import on_meta
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.plugins.task import Kind, Pooling
from bench.train.adaptation import Adapted, adapt, restore, saved_method, write
from bench.train.data import encode
from bench.train.features import features_of

POOLINGS: tuple[Pooling, ...] = ("cls", "mean")
METHODS = ("head", "pasta", "lora", "bitfit", "adapters", "ia3", "prompt_tuning", "prefix_tuning", "full", "peft:vera")


def method(spec: str) -> Any:
    return build_method(registry.methods(), parse(spec))


def adapted(
    spec: str, family: str, pooling: Pooling, kind: Kind = "classification", lacks_pooler: bool = False
) -> Adapted:
    task = replace(tiny_encoders.context(family, kind), pooling=pooling, lacks_pooler=lacks_pooler)
    made = adapt(tiny_encoders.model(family, kind), method(spec), task, seeds.streams(0))
    made.module.eval()
    return made


def logits(made: Adapted, family: str) -> Tensor:
    with torch.no_grad():
        return made.module(**tiny_encoders.inputs(family)).logits


def by_hand(made: Any, family: str, pooling: Pooling) -> Tensor:
    """The head's own layers on the pooled state: of each text by itself, without padding."""
    inputs, pooled = tiny_encoders.inputs(family), []
    with torch.no_grad():
        for at in range(len(inputs["input_ids"])):
            length = int(inputs["attention_mask"][at].sum())
            alone = {name: value[at : at + 1, :length] for name, value in inputs.items()}
            states = made.base_model(**alone).last_hidden_state
            pooled.append(states[0].mean(0) if pooling == "mean" else states[0, 0])
        state = torch.stack(pooled)
        match family:
            case "bert" | "albert":
                return made.classifier(state)
            case "distilbert":
                return made.classifier(torch.relu(made.pre_classifier(state)))
            case "deberta" | "deberta-v2":
                return made.classifier(torch.nn.functional.gelu(made.pooler.dense(state)))
            case "modernbert":
                return made.classifier(made.head.norm(torch.nn.functional.gelu(made.head.dense(state))))
            case "electra":
                return made.classifier.out_proj(torch.nn.functional.gelu(made.classifier.dense(state)))
        return made.classifier.out_proj(torch.tanh(made.classifier.dense(state)))


@pytest.mark.parametrize("family", tiny_encoders.NAMES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_head_reads_the_pooled_state(family: str, pooling: Pooling) -> None:
    made = adapted("head", family, pooling)
    same_head = adapted("head", family, "model")  # at one seed
    torch.testing.assert_close(logits(made, family), by_hand(same_head.module, family, pooling), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("own", ["cls", "mean"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_model_that_pools_by_itself_is_overruled(own: str, pooling: Pooling) -> None:
    task = replace(tiny_encoders.context("modernbert"), pooling=pooling)
    model = tiny_encoders.model("modernbert", classifier_pooling=own)
    made = adapt(model, method("head"), task, seeds.streams(0))
    made.module.eval()
    expected = by_hand(adapted("head", "modernbert", "model").module, "modernbert", pooling)
    torch.testing.assert_close(logits(made, "modernbert"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", METHODS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_method_is_pooled_over_the_texts_own_tokens(spec: str, pooling: Pooling, tmp_path: Path) -> None:
    """Also where a method puts virtual tokens before them: the states that the head gets are those of the text."""
    made = adapted(spec, "bert", pooling)
    seen: list[Tensor] = []
    made.module.base_model.register_forward_hook(lambda module, args, output: seen.append(output.pooler_output))
    padded = logits(made, "bert")
    inputs = tiny_encoders.inputs("bert")
    with torch.no_grad():
        alone = [
            made.module(**{name: value[at : at + 1, : int(inputs["attention_mask"][at].sum())]
                           for name, value in inputs.items()}).logits
            for at in range(len(padded))
        ]  # fmt: skip
    torch.testing.assert_close(padded, torch.cat(alone), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(padded, made.module.classifier(seen[0]).detach())
    if spec in ("prompt_tuning", "prefix_tuning"):
        return
    # Without its hooks for pooling the model gives the states themselves.
    hooks = made.module.base_model._forward_hooks
    for key in list(hooks)[-2:]:
        del hooks[key]
    with torch.no_grad():
        states = made.module.base_model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    mean = (states * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(seen[0], mean if pooling == "mean" else states[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", METHODS)
def test_what_trains_gets_a_gradient_and_the_formula_holds(spec: str) -> None:
    """The pooler, which nothing reads, neither trains nor counts."""
    made = adapted(spec, "bert", "mean")
    made.module(**tiny_encoders.inputs("bert")).logits.square().sum().backward()
    names = [name for name, parameter in made.module.named_parameters() if parameter.requires_grad]
    assert not any("bert.pooler" in name for name, _ in made.module.named_parameters())
    if spec != "peft:vera":  # one of its vectors starts at zero
        missing = [n for n, p in made.module.named_parameters() if p.requires_grad and p.grad is None]
        assert not missing
    assert names
    task = replace(tiny_encoders.context("bert"), pooling="mean")
    config = tiny_encoders.config("bert")
    formula = method(spec).trainable_formula(config, task)
    assert formula in (None, made.parameters.trainable)
    assert on_meta(config, method(spec), task).parameters == made.parameters


@pytest.mark.parametrize("spec", ["head", "head[pooling=cls]", "pasta", "lora", "prompt_tuning", "full"])
def test_a_saved_adapter_names_its_pooling(spec: str, tmp_path: Path) -> None:
    made = adapted(spec, "bert", "mean")
    with torch.no_grad():
        for parameter in made.module.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05)
    size = write(method(spec), made, tmp_path / "adapter")
    assert size == sum(file.stat().st_size for file in (tmp_path / "adapter").rglob("*") if file.is_file())
    saved = saved_method(tmp_path / "adapter", registry.methods())
    plain = tiny_encoders.context("bert")  # says nothing of a pooling
    module = restore(tiny_encoders.model("bert"), saved, tmp_path / "adapter", plain).eval()
    with torch.no_grad():
        found = module(**tiny_encoders.inputs("bert")).logits
    assert torch.equal(found, logits(made, "bert"))
    assert not torch.equal(found, logits(adapted(spec.partition("[")[0], "bert", "model"), "bert"))


def test_pasta_by_itself_refuses_an_adapter_with_a_pooling(tmp_path: Path) -> None:
    from methods import pasta

    write(method("pasta"), adapted("pasta", "bert", "mean"), tmp_path / "adapter")
    with pytest.raises(ValueError, match="trained with mean pooling"):
        pasta.load(tiny_encoders.model("bert"), tmp_path / "adapter")


def test_an_unknown_pooling_in_an_adapter_is_an_error(tmp_path: Path) -> None:
    write(method("lora"), adapted("lora", "bert", "mean"), tmp_path / "adapter")
    about = tmp_path / "adapter" / "adapter.json"
    about.write_text(about.read_text().replace('"mean"', '"max"'))
    with pytest.raises(UsageError, match="pooling"):
        saved_method(tmp_path / "adapter", registry.methods())


def test_the_heads_own_pooling_goes_before_the_suites() -> None:
    mean = logits(adapted("head", "bert", "mean"), "bert")
    for suite in ("model", "cls", "mean"):
        assert torch.equal(logits(adapted("head[pooling=mean]", "bert", suite), "bert"), mean)  # type: ignore[arg-type]
    own = logits(adapted("head", "bert", "model"), "bert")
    assert torch.equal(logits(adapted("head[pooling=model]", "bert", "mean"), "bert"), own)
    assert not torch.allclose(own, mean, atol=0.01)


def test_token_classification_is_as_without() -> None:
    plain, pooled = (adapted("pasta", "bert", how, "token-classification") for how in ("model", "mean"))
    assert torch.equal(logits(plain, "bert"), logits(pooled, "bert"))
    assert pooled.pooling == "model"
    with pytest.raises(NotApplicable, match="is for whole texts"):
        adapted("head[pooling=mean]", "bert", "model", "token-classification")


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_pooled_features_are_kept_pooled(family: str) -> None:
    import tiny

    made = adapted("head", family, "mean")
    tiny_encoders.no_dropout(made.module)
    data = encode(tiny.task("classification"), tiny.examples("classification", 6), tiny_encoders.tokenizer(family))
    kept = features_of(made.module, data, tiny.profile())
    assert kept is not None
    assert {row.numel() for rows in kept._rows.values() for row in rows} == {tiny_encoders.HIDDEN}
    indices = [5, 1, 2]
    batch = data.batch(indices)
    with torch.no_grad():
        expected = made.module(**batch.inputs).logits
        with kept.of(indices):  # type: ignore[arg-type]
            found = made.module(**batch.inputs).logits
    torch.testing.assert_close(found, expected)


# Files without a pooler


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_a_head_without_a_pooler_computes_what_the_pooler_would(family: str) -> None:
    """The same logits as transformers' own model, whose pooler has the weights of the head's dense layer."""
    made = adapted("head", family, "model", lacks_pooler=True)
    assert made.pooling == "cls-dense"
    dense, _, _, layer = made.module.classifier  # type: ignore[union-attr]
    assert dense.weight.std() > 0.01
    own: Any = tiny_encoders.model(family).eval()
    pooler = own.base_model.pooler
    with torch.no_grad():
        (pooler.dense if family == "bert" else pooler).load_state_dict(dense.state_dict())
        own.classifier.load_state_dict(layer.state_dict())
        expected = own(**tiny_encoders.inputs(family)).logits
    torch.testing.assert_close(logits(made, family), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [*METHODS, "head[pooling=model]"])
def test_a_dense_layer_in_the_poolers_place_belongs_to_the_head(spec: str, tmp_path: Path) -> None:
    """It is the same for all methods, trains, counts as the head's, and is saved."""
    made = adapted(spec, "bert", "model", lacks_pooler=True)
    dense = made.module.get_submodule("classifier")[0]  # type: ignore[index]
    assert torch.equal(dense.weight, adapted("head", "bert", "model", lacks_pooler=True).module.classifier[0].weight)
    assert all(parameter.requires_grad for parameter in dense.parameters())
    hidden, labels = tiny_encoders.HIDDEN, tiny_encoders.config("bert").num_labels
    assert made.parameters.head == (hidden + 1) * (hidden + labels)
    task = replace(tiny_encoders.context("bert"), lacks_pooler=True)
    config = tiny_encoders.config("bert")
    assert method(spec).trainable_formula(config, task) in (None, made.parameters.trainable)
    assert on_meta(config, method(spec), task).parameters == made.parameters
    with torch.no_grad():
        dense.bias.add_(0.1)
    write(method(spec), made, tmp_path / "adapter")
    saved = saved_method(tmp_path / "adapter", registry.methods())
    module = restore(tiny_encoders.model("bert"), saved, tmp_path / "adapter", tiny_encoders.context("bert")).eval()
    with torch.no_grad():
        assert torch.equal(module(**tiny_encoders.inputs("bert")).logits, logits(made, "bert"))


def test_a_head_of_several_layers_is_not_extended() -> None:
    with pytest.raises(SourceError, match=r"no weights for its pooler.*--pooling cls or --pooling mean"):
        adapted("head", "distilbert", "model", lacks_pooler=True)
