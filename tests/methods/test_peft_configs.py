"""The family `peft`: every config that the installed PEFT registers keeps the method contract, or is refused."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peft
import pytest
import tiny as tiny_bert
import torch
from peft import TaskType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from bench import registry, training
from bench.errors import NotApplicable, UsageError
from bench.grid import code_version
from bench.method import Method
from bench.registry import build_method, changed_params, describe_params
from bench.specs import parse

REGISTERED = sorted(each.value.lower() for each in PEFT_TYPE_TO_CONFIG_MAPPING)
# What else is asked for on a BERT whose layers are 32 wide, where PEFT's defaults are for wide ones or are none.
NEEDED = {
    "c3a": "block_size=8",
    "ln_tuning": "target_modules=LayerNorm",
    "miss": "r=8",
    "psoft": "r=8",
    "road": "group_size=8",
    "shira": "r=4",
    "trainable_tokens": "token_indices=2+3",
    "vblora": "num_vectors=16,vector_length=8",
    "waveft": "n_frequency=40",
}
REFUSED = {
    "adalora": "calls from the training loop",
    "adaption_prompt": "Llama, Mistral and GPT-2 alone",
    "cartridge": "causal model",
    "cpt": "causal language models",
    "multitask_prompt_tuning": "several tasks",
    "poly": "several tasks",
    "shadow": "causal decoder",
    "xlora": "trained before",
}
SPECS = [f"peft:{member}[{NEEDED.get(member, '')}]" for member in REGISTERED if member not in REFUSED]
# Other ways to have some of them.
SPECS += [
    "peft:ia3[init_ia3_weights=false]",
    "peft:lora[bias=all,target_modules=all-linear]",
    "peft:lora[init_lora_weights=gaussian,layers_to_transform=0+2]",
    "peft:lora[init_lora_weights=olora]",
    "peft:lora[init_lora_weights=orthogonal]",
    "peft:lora[init_lora_weights=pissa]",
    "peft:lora[use_dora=true]",
    "peft:p_tuning[encoder_reparameterization_type=LSTM,num_virtual_tokens=2]",
    "peft:prefix_tuning[prefix_projection=true]",
]


def build(spec: str) -> Method:
    return build_method(registry.methods(), parse(spec))


def state(module: Any, trained: bool) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that train, or all others with the buffers, as they are now."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad is trained:
            yield name, parameter.detach().clone()
    if not trained:
        yield from ((name, buffer.clone()) for name, buffer in module.named_buffers())


def steps(module: Any, data: Any, count: int = 3) -> dict[str, float]:
    """A few steps of SGD; the largest gradient of each tensor that trains."""
    parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
    largest = dict.fromkeys(parameters, 0.0)
    batch = data.batch(range(len(data)))
    module.train()
    torch.manual_seed(1)
    for _ in range(count):
        (training.loss_sum(data.kind, module(**batch.inputs).logits, batch.labels) / batch.scored).backward()
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                largest[name] = max(largest[name], float(parameter.grad.abs().max()))
                parameter.data.sub_(0.1 * parameter.grad)
            parameter.grad = None
    module.eval()
    return largest


def test_every_member_is_tried_here() -> None:
    family = registry.methods().families["peft"].family
    assert set(family.members()) | set(family.refused()) == set(REGISTERED)
    assert set(family.refused()) == set(REFUSED)


@pytest.mark.parametrize("member", REFUSED)
def test_what_cannot_work_here_is_refused_with_the_reason(member: str) -> None:
    with pytest.raises(UsageError, match=f"^peft:{member} is not offered: .*{REFUSED[member]}"):
        registry.methods().get(f"peft:{member}")


@pytest.mark.parametrize("spec", SPECS)
def test_every_other_config_keeps_the_contract(tiny: Any, tmp_path: Path, spec: str) -> None:
    """The clauses of test_method_contract, on one kind of task."""
    method, data, base = build(spec), tiny.data("pair"), tiny.model("pair")
    adapted = tiny.adapted(method, "pair")
    base.classifier.load_state_dict(adapted.module.classifier.state_dict())
    start = tiny_bert.logits(adapted.module, data)
    assert torch.equal(start, tiny_bert.logits(base, data)) == method.starts_at_base()
    declared, frozen = dict(state(adapted.module, True)), dict(state(adapted.module, False))
    assert sum(map(torch.numel, declared.values())) == adapted.parameters.trainable + adapted.parameters.head
    assert adapted.parameters.trainable > 0

    gradients = steps(adapted.module, data)
    assert [name for name, size in gradients.items() if size == 0] == []
    after = dict(state(adapted.module, False))
    assert after.keys() == frozen.keys()
    assert [name for name in frozen if not torch.equal(after[name], frozen[name])] == []
    trained = tiny_bert.logits(adapted.module, data)
    assert trained.isfinite().all()
    assert not torch.equal(trained, start)

    method.save(adapted.module, tmp_path)
    again = build(spec)
    other = tiny.adapted(again, "pair", seed=9)
    assert not torch.equal(tiny_bert.logits(other.module, data), trained)
    again.load(other.module, tmp_path)
    assert torch.equal(tiny_bert.logits(other.module, data), trained)
