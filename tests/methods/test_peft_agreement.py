"""What is built on PEFT gives the logits of PEFT's own models; what is not trains just what it says."""

from typing import Any

import pytest
import tiny as tiny_bert
import torch
from peft import LoraConfig, PromptTuningConfig, TaskType, get_peft_model

from bench.plugins.registry import methods
from bench.plugins.specs import build_method, parse

LORA = "lora[r=3,alpha=5,targets=query+key+value]"
CONFIGS = {
    "lora": LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"]),
    LORA: LoraConfig(r=3, lora_alpha=5, target_modules=["query", "key", "value"]),
    "prompt_tuning[tokens=1]": PromptTuningConfig(num_virtual_tokens=1),
    "prompt_tuning[tokens=20]": PromptTuningConfig(num_virtual_tokens=20),
}


def method(spec: str) -> Any:
    return build_method(methods(), parse(spec))


def own(module: Any) -> dict[str, torch.Tensor]:
    """What trains beside the head, by the names that it has without PEFT's own model around it."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad and "classifier" not in name}
    return {name.replace("base_model.model.", "").removeprefix("bert."): p for name, p in trained.items()}


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
@pytest.mark.parametrize("spec", [*CONFIGS, "peft:vera[r=5]", "peft:loha[r=3,alpha=4]", "peft:lora[use_dora=true,r=2]"])
def test_logits_are_those_of_pefts_own_models(tiny: Any, spec: str, kind: str) -> None:
    """Segments reach the model, and the settings PEFT, whichever way a config is put on it."""
    mine, data = tiny.adapted(method(spec), kind).module, tiny.data(kind)
    config = CONFIGS[spec] if spec in CONFIGS else method(spec).params.config()
    config.task_type = TaskType.TOKEN_CLS if kind == "token-classification" else TaskType.SEQ_CLS
    theirs: Any = get_peft_model(tiny.model(kind), config).eval()
    ours, other = own(mine), own(theirs)
    assert ours.keys() == other.keys()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in ours.items():
            parameter.normal_(std=0.3, generator=draw)
            other[name].copy_(parameter)
    (head,) = (part for name, part in theirs.named_modules() if name.endswith("classifier"))
    head.modules_to_save["default"].load_state_dict(mine.classifier.state_dict())
    got, want = tiny_bert.logits(mine, data), tiny_bert.logits(theirs, data)
    if kind == "token-classification" and isinstance(config, PromptTuningConfig):
        want = want[:, -int(data.lengths.max()) :]  # PEFT gives the virtual tokens' logits as well
    assert torch.allclose(got, want, rtol=0, atol=1e-5)
    base = tiny.model(kind)
    base.classifier.load_state_dict(mine.classifier.state_dict())
    assert (got - tiny_bert.logits(base, data)).abs().max() > 1e-2  # what was added matters


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
def test_bitfit_trains_the_biases_and_nothing_else(tiny: Any, kind: str) -> None:
    model = tiny.adapted(method("bitfit"), kind).module
    trained = {name for name, p in model.named_parameters() if p.requires_grad and name.startswith("bert.")}
    assert trained == {name for name, _ in model.bert.named_parameters(prefix="bert") if name.endswith(".bias")}
    assert len(trained) == 8 * tiny_bert.LAYERS + 1 + (kind != "token-classification")
