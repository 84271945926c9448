"""The contract of every registered method on every kind of task. A new file in methods/ is held to it by itself."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
import torch

from bench.check.checks import Check, check_name, run_check
from bench.check.encoder import Encoder
from bench.check.method_checks import EVERY_KIND, ONE_KIND
from bench.check.trial import Trial
from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.method import Method
from bench.plugins.specs import build_method, parse
from bench.train.adaptation import Adapted

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
    "peft:lora[use_dora=true]",
    "peft:vera[r=64]",
    "peft:p_tuning[num_virtual_tokens=2,encoder_reparameterization_type=LSTM]",
]
METHODS = registry.methods()
# Defaults on every kind of task; variants on the two that differ most, the rest with the slow tests.
TRIALS = [
    pytest.param((spec, kind), id=f"{spec}-{kind}", marks=[] if quick else pytest.mark.slow)
    for spec, kind in itertools.product([*DEFAULTS, *VARIANTS], tiny_bert.KINDS)
    for quick in [spec in DEFAULTS or kind in ("pair", "token-classification")]
]


def build(spec: str) -> Method:
    return build_method(METHODS, parse(spec))


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.random()


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
def test_check(trial: Trial, check: Check[Trial]) -> None:
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


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
def test_what_is_counted_is_what_there_is(encoder: Encoder, adapted: Any, kind: str) -> None:
    one = adapted("lora", kind)
    assert one.parameters.head == (tiny_bert.HIDDEN + 1) * tiny_bert.task(kind).num_labels
    assert one.parameters.base == sum(p.numel() for p in encoder.model(kind).parameters())
    trainable = sum(p.numel() for p in one.module.parameters() if p.requires_grad)
    assert one.parameters.trainable == trainable - one.parameters.head == 3 * 2 * 2 * 8 * 32


@pytest.mark.parametrize(("spec", "count"), [("pasta", 1), ("lora", 2 * tiny_bert.LAYERS), ("prompt_tuning", 1)])
def test_another_seed_draws_another_start(adapted: Any, spec: str, count: int) -> None:
    first, other = (dict(adapted(spec, "pair", seed).module.named_parameters()) for seed in (3, 4))
    drawn = {name for name in first if "classifier" not in name and not torch.equal(first[name], other[name])}
    assert len(drawn) == count


def test_the_head_depends_on_the_seed_alone(adapted: Any) -> None:
    torch.manual_seed(0)
    first = adapted("pasta", "pair").head[0].detach().clone()
    torch.manual_seed(1)
    torch.rand(100)
    assert torch.equal(first, adapted("lora", "pair").head[0])
    assert not torch.equal(first, adapted("pasta", "pair", 1).head[0])
    assert len(set(seeds.streams(0).values())) == 4


def test_an_adapter_of_another_task_is_refused(adapted: Any, tmp_path: Path) -> None:
    build("pasta").save(adapted("pasta", "pair").module, tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        build("pasta").load(adapted("pasta", "classification").module, tmp_path)
