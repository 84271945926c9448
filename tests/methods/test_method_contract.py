"""The contract of every registered method on every kind of task. A new file in methods/ is held to it by itself."""

import itertools
from typing import Any

import pytest
import tiny as tiny_bert
import torch

from bench.check.checks import Check, check_name, run_check
from bench.check.encoder import Encoder, encoder_of
from bench.check.method_checks import EVERY_KIND, ONE_KIND
from bench.check.trial import Trial
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.specs import build_method, parse
from bench.train.adaptation import Adapted
from methods.peft_configs import PeftConfigs

# Each method with its defaults, and what else is worth holding to the contract.
DEFAULTS = registry.methods().names()
VARIANTS = [
    "pasta[init_std=0]",
    "pasta[tokens=sep,share_slots=true,layers=0+2]",
    "pasta[share_layers=true]",
    "lora[r=2,dropout=0.3]",
    "prompt_tuning[tokens=2]",
    "prefix_tuning[tokens=2]",
    "adapters[bottleneck=3,layer_norms=false]",
    "adapters[placement=pfeiffer]",
    "adapters[placement=pfeiffer,layer_norms=true]",
]
# Members of the family peft that need more than their defaults on a BERT whose layers are 32 wide.
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
MEMBERS = [f"peft:{member}[{NEEDED.get(member, '')}]" for member in PeftConfigs().members()]
MEMBERS += [
    "peft:ia3[init_ia3_weights=false]",
    "peft:lora[bias=all,target_modules=all-linear]",
    "peft:lora[init_lora_weights=gaussian,layers_to_transform=0+2]",
    "peft:lora[init_lora_weights=orthogonal]",
    "peft:lora[use_dora=true]",
    "peft:p_tuning[encoder_reparameterization_type=LSTM,num_virtual_tokens=2]",
    "peft:prefix_tuning[prefix_projection=true]",
]
# Checks that PEFT's own code fails.
EXCEPTIONS = {
    ("peft:lily[]", "batch-independent"): "experts are weighted by their mean over the batch, padding included",
    ("peft:pvera[]", "modes-agree"): "draws noise while training",
}
QUICK = ["peft:ia3[]", "peft:ln_tuning[target_modules=LayerNorm]", "peft:prefix_tuning[]", "peft:vera[]"]
METHODS = registry.methods()
# Defaults on every kind of task, the rest on pairs.
TRIALS = [pytest.param(trial, id="-".join(trial)) for trial in itertools.product(DEFAULTS, tiny_bert.KINDS)]
TRIALS += [pytest.param((spec, "pair"), id=spec) for spec in VARIANTS]
TRIALS += [pytest.param((spec, "pair"), id=spec, marks=[] if spec in QUICK else pytest.mark.slow) for spec in MEMBERS]


def build(spec: str) -> Method:
    return build_method(METHODS, parse(spec))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return encoder_of(None)


@pytest.fixture(scope="module", params=TRIALS)
def trial(encoder: Encoder, request: pytest.FixtureRequest) -> Trial:
    """One method on one kind of task; all checks examine the same one, which makes them quick."""
    spec, kind = request.param
    return Trial(lambda: build(spec), kind, encoder)


def passes(check: Check[Trial], trial: Trial) -> None:
    for each in dict.fromkeys((EVERY_KIND[0], check)):
        outcome = run_check(each, trial)
        if outcome.status == "skipped":
            pytest.skip(f"does not apply: {outcome.reason}")
        assert outcome.reason is None, f"{outcome.requirement} But {outcome.reason}."


@pytest.mark.parametrize("check", EVERY_KIND, ids=check_name)
def test_check(request: pytest.FixtureRequest, trial: Trial, check: Check[Trial]) -> None:
    if (request.node.callspec.params["trial"][0], check_name(check)) in EXCEPTIONS:
        assert run_check(check, trial).status == "failed"
    else:
        passes(check, trial)


@pytest.mark.parametrize("check", ONE_KIND, ids=check_name)
@pytest.mark.parametrize("spec", [*DEFAULTS, *VARIANTS])
def test_check_whatever_the_task(encoder: Encoder, spec: str, check: Check[Trial]) -> None:
    passes(check, Trial(lambda: build(spec), "pair", encoder))


# What the checks rely on


@pytest.fixture
def adapted(encoder: Encoder) -> Any:
    def make(spec: str, kind: str, seed: int = 0) -> Adapted:
        return encoder.adapted(build(spec), kind, seed)

    return make


@pytest.mark.parametrize(("spec", "count"), [("pasta", 1), ("lora", 2 * tiny_bert.LAYERS), ("prompt_tuning", 1)])
def test_another_seed_draws_another_start(adapted: Any, spec: str, count: int) -> None:
    first, other = (dict(adapted(spec, "pair", seed).module.named_parameters()) for seed in (3, 4))
    drawn = {name for name in first if "classifier" not in name and not torch.equal(first[name], other[name])}
    assert len(drawn) == count
