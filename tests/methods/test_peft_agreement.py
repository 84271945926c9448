"""What is built on PEFT gives the logits of PEFT's own models; what is not trains just what it says."""

from typing import Any

import peft
import pytest
import tiny as tiny_bert
import torch
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model

from bench.plugins.registry import methods
from bench.plugins.specs import build_method, parse

TYPES = {"token-classification": TaskType.TOKEN_CLS}


def method(spec: str) -> Any:
    return build_method(methods(), parse(spec))


def same_head(peft_model: Any, model: Any) -> None:
    """Copy our head into the copy of it that PEFT trains."""
    theirs = peft_model.base_model.model.classifier if hasattr(peft_model.base_model, "model") else None
    theirs = theirs if theirs is not None else peft_model.base_model.classifier
    theirs.modules_to_save["default"].load_state_dict(model.classifier.state_dict())


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
@pytest.mark.parametrize("spec", ["lora", "lora[r=3,alpha=5,targets=query+key+value]"])
def test_lora_gives_pefts_logits(tiny: Any, kind: str, spec: str) -> None:
    mine, params = tiny.model(kind), method(spec).params
    targets = list(params.targets or ("query", "value"))  # of BERT, by default
    tiny.adapted(method(spec), kind, model=mine)
    theirs = get_peft_model(
        tiny.model(kind),
        LoraConfig(
            task_type=TYPES.get(kind, TaskType.SEQ_CLS),
            r=params.r,
            lora_alpha=params.alpha,
            target_modules=targets,
            lora_dropout=params.dropout,
        ),
    ).eval()
    ours = {name: p for name, p in mine.named_parameters() if "lora_" in name}
    other = {name.removeprefix("base_model.model."): p for name, p in theirs.named_parameters() if "lora_" in name}
    assert ours.keys() == other.keys()
    assert len(ours) == 2 * tiny_bert.LAYERS * len(targets)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in ours.items():
            parameter.normal_(std=0.3)
            other[name].copy_(parameter)
    same_head(theirs, mine)
    data = tiny.data(kind)
    got, want = tiny_bert.logits(mine, data), tiny_bert.logits(theirs, data)
    base = tiny.model(kind)
    base.classifier.load_state_dict(mine.classifier.state_dict())
    assert torch.allclose(got, want, rtol=0, atol=1e-5)
    assert (got - tiny_bert.logits(base, data)).abs().max() > 1e-2  # the update matters


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
@pytest.mark.parametrize("tokens", [1, 20])
def test_prompt_tuning_gives_pefts_logits(tiny: Any, kind: str, tokens: int) -> None:
    mine = tiny.model(kind)
    tiny.adapted(method(f"prompt_tuning[tokens={tokens}]"), kind, model=mine)
    config = PromptTuningConfig(task_type=TYPES.get(kind, TaskType.SEQ_CLS), num_virtual_tokens=tokens)
    theirs = get_peft_model(tiny.model(kind), config).eval()
    want_class = {"token-classification": peft.PeftModelForTokenClassification}
    assert type(theirs) is want_class.get(kind, peft.PeftModelForSequenceClassification)
    (prompt,) = [p for name, p in mine.named_parameters() if "prompt_encoder" in name]
    with torch.no_grad():
        prompt.normal_(std=0.5, generator=torch.Generator().manual_seed(0))
        theirs.prompt_encoder["default"].embedding.weight.copy_(prompt)
    same_head(theirs, mine)
    data = tiny.data(kind)
    got, want = tiny_bert.logits(mine, data), tiny_bert.logits(theirs, data)
    if kind == "token-classification":
        want = want[:, -int(data.lengths.max()) :]  # PEFT gives the virtual tokens' logits as well
    assert got.shape == want.shape
    assert torch.allclose(got, want, rtol=0, atol=1e-6)


def trained_backbone(model: Any) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad and name.startswith("bert.")}


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
def test_bitfit_trains_the_biases_and_nothing_else(tiny: Any, kind: str) -> None:
    model = tiny.model(kind)
    names = {name for name, _ in model.named_parameters()}
    tiny.adapted(method("bitfit"), kind, model=model)
    biases = {name for name in names if name.startswith("bert.") and name.endswith(".bias")}
    assert trained_backbone(model) == biases
    pooler = kind != "token-classification"
    assert len(biases) == 8 * tiny_bert.LAYERS + 1 + pooler


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
def test_full_trains_everything_and_head_nothing_but_the_head(tiny: Any, kind: str) -> None:
    full, head = tiny.model(kind), tiny.model(kind)
    tiny.adapted(method("full"), kind, model=full)
    tiny.adapted(method("head"), kind, model=head)
    assert all(p.requires_grad for p in full.parameters())
    assert {name for name, p in head.named_parameters() if p.requires_grad} == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    "bad", ["lora[r=0]", "lora[alpha=-1]", "lora[dropout=1]", "prompt_tuning[tokens=0]", "lora[rank=4]", "bitfit[r=1]"]
)
def test_bad_parameters_are_the_users_to_mend(bad: str) -> None:
    from bench.errors import UsageError

    with pytest.raises(UsageError, match=bad.partition("[")[0]):
        method(bad)
