"""The contract of every registered method on every kind of task. A new file in methods/ is held to it by itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
import torch
from safetensors.torch import load_file, save_file

from bench import registry, seeds, training
from bench.adaptation import Adapted
from bench.errors import NotApplicable
from bench.measure.time import Timeline
from bench.method import Method
from bench.specs import parse

# Each method with its defaults, and what else is worth holding to the contract.
VARIANTS = [
    *registry.methods().names(),
    "pasta[init_std=0]",
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
every_method = pytest.mark.parametrize("spec", VARIANTS)
every_kind = pytest.mark.parametrize("kind", tiny_bert.KINDS)


def build(spec: str) -> Method:
    return registry.build_method(registry.methods(), parse(spec))


@pytest.fixture
def adapted(tiny: Any) -> Any:
    def make(spec: str, kind: str, seed: int = 0) -> Adapted:
        try:
            return tiny.adapted(build(spec), kind, seed)
        except NotApplicable as reason:
            pytest.skip(f"{spec} does not apply: {reason}")

    return make


def trained(module: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}


def frozen(module: Any) -> dict[str, torch.Tensor]:
    parameters = ((name, p) for name, p in module.named_parameters() if not p.requires_grad)
    return {name: tensor.detach().clone() for name, tensor in [*parameters, *module.named_buffers()]}


def train(adapted: Adapted, data: Any, steps: int) -> training.Trained:
    torch.manual_seed(1)
    return training.train(
        adapted.module,
        data,
        tiny_bert.recipe(epochs=0.01, min_steps=steps, weight_decay=0.1),
        training.Placement(),
        seed=5,
        head=adapted.head,
        timeline=Timeline(),
        report=lambda progress: None,
    )


def gradients(adapted: Adapted, data: Any, steps: int = 3) -> Iterator[tuple[str, float]]:
    """The largest gradient of each trained tensor over a few steps of plain SGD."""
    parameters = {name: p for name, p in adapted.module.named_parameters() if p.requires_grad}
    largest = dict.fromkeys(parameters, 0.0)
    adapted.module.train()
    batch = data.batch(range(len(data)))
    for _ in range(steps):
        logits = adapted.module(**batch.inputs).logits
        (training.loss_sum(data.kind, logits, batch.labels) / batch.scored).backward()
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                largest[name] = max(largest[name], float(parameter.grad.abs().max()))
                with torch.no_grad():
                    parameter -= 0.1 * parameter.grad
            parameter.grad = None
    yield from largest.items()


@every_method
@every_kind
def test_two_steps_move_what_trains_and_nothing_else(tiny: Any, adapted: Any, spec: str, kind: str) -> None:
    one = adapted(spec, kind)
    before, kept = trained(one.module), frozen(one.module)
    outcome = train(one, tiny.data(kind), steps=2)
    assert len(outcome.losses) == 2
    assert outcome.void is None
    for name, tensor in frozen(one.module).items():
        assert torch.equal(tensor, kept[name]), f"{name} is frozen and changed"
    after = trained(one.module)
    assert after.keys() == before.keys()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {id(p) for p in one.head} <= {id(p) for name, p in one.module.named_parameters() if name in moved}


@every_method
@every_kind
def test_every_trained_tensor_gets_a_gradient(tiny: Any, adapted: Any, spec: str, kind: str) -> None:
    """Within three steps: LoRA's A has none before B, which starts at zero, has moved."""
    found = dict(gradients(adapted(spec, kind), tiny.data(kind)))
    assert found
    assert [name for name, size in found.items() if size == 0] == []


@every_method
@every_kind
def test_the_count_is_that_of_the_tensors_and_of_the_formula(tiny: Any, adapted: Any, spec: str, kind: str) -> None:
    one, base = adapted(spec, kind), tiny.model(kind)
    head = sum(p.numel() for p in one.head)
    assert head == (tiny_bert.HIDDEN + 1) * tiny_bert.task(kind).num_labels
    assert one.parameters.head == head
    assert one.parameters.trainable == sum(p.numel() for p in one.module.parameters() if p.requires_grad) - head
    assert one.parameters.base == sum(p.numel() for p in base.parameters())
    formula = build(spec).trainable_formula(base.config, tiny.context(kind))
    assert formula in (None, one.parameters.trainable)


@every_method
@every_kind
def test_what_is_saved_and_loaded_gives_identical_logits(
    tiny: Any, adapted: Any, tmp_path: Path, spec: str, kind: str
) -> None:
    one, data = adapted(spec, kind), tiny.data(kind)
    train(one, data, steps=2)
    one.module.eval()
    build(spec).save(one.module, tmp_path / "adapter")
    files = [file for file in (tmp_path / "adapter").rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert file.suffix in {".safetensors", ".json"}
        load_file(file) if file.suffix == ".safetensors" else json.loads(file.read_text())
    other = adapted(spec, kind, seed=9)
    want = tiny_bert.logits(one.module, data)
    assert not torch.equal(tiny_bert.logits(other.module, data), want)
    build(spec).load(other.module, tmp_path / "adapter")
    assert torch.equal(tiny_bert.logits(other.module, data), want)


@every_method
@every_kind
def test_methods_that_say_so_start_at_the_base_model(tiny: Any, adapted: Any, spec: str, kind: str) -> None:
    one, base, data = adapted(spec, kind), tiny.model(kind), tiny.data(kind)
    for mine, theirs in zip(one.head, base.classifier.parameters(), strict=True):
        theirs.data.copy_(mine.data)
    at_base = torch.equal(tiny_bert.logits(one.module, data), tiny_bert.logits(base, data))
    assert at_base == build(spec).starts_at_base()


@every_method
def test_one_seed_draws_one_start(adapted: Any, spec: str) -> None:
    first, again, other = (trained(adapted(spec, "pair", seed).module) for seed in (3, 3, 4))
    assert first.keys() == again.keys() == other.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    if spec in {"pasta", "lora", "prompt_tuning"}:  # the rest draws nothing, or need not
        drawn = {name for name in first if "classifier" not in name and not torch.equal(first[name], other[name])}
        assert len(drawn) == {"pasta": 1, "lora": 2 * tiny_bert.LAYERS, "prompt_tuning": 1}[spec]


@every_kind
def test_all_methods_start_from_one_head_a_seed(adapted: Any, kind: str) -> None:
    heads: dict[int, list[torch.Tensor]] = {}
    for seed in (0, 1):
        for name in registry.methods().names():
            drawn = torch.cat([p.detach().flatten() for p in adapted(name, kind, seed).head])
            heads.setdefault(seed, []).append(drawn)
        assert all(torch.equal(heads[seed][0], head) for head in heads[seed])
    assert not torch.equal(heads[0][0], heads[1][0])


def test_the_head_does_not_depend_on_what_was_drawn_before(tiny: Any, adapted: Any) -> None:
    torch.manual_seed(0)
    first = adapted("pasta", "pair").head[0].detach().clone()
    torch.manual_seed(1)
    torch.rand(100)
    assert torch.equal(first, adapted("pasta", "pair").head[0])
    assert len(set(seeds.streams(0).values())) == 4


@every_method
def test_an_adapter_that_does_not_fit_is_refused(adapted: Any, tmp_path: Path, spec: str) -> None:
    one, method = adapted(spec, "pair"), build(spec)
    method.save(one.module, tmp_path)
    file = tmp_path / "adapter.safetensors"
    tensors = load_file(file)
    name = next(iter(tensors))
    for wrong in (
        {key: value for key, value in tensors.items() if key != name},
        {**tensors, "one.more": torch.zeros(1)},
        {**tensors, name: torch.zeros(*tensors[name].shape, 1)},
        {**tensors, name: torch.zeros(1, *tensors[name].shape[1:])},  # copy_ would broadcast it
    ):
        save_file(wrong, file)
        with pytest.raises(ValueError, match="does not fit"):
            method.load(one.module, tmp_path)


def test_an_adapter_of_another_task_is_refused(adapted: Any, tmp_path: Path) -> None:
    build("pasta").save(adapted("pasta", "pair").module, tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        build("pasta").load(adapted("pasta", "classification").module, tmp_path)


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from bench import registry;"
        "print(len(registry.methods().names()) > 5, len(registry.tasks().names()) > 5,"
        "registry.methods().broken, registry.tasks().broken,"
        "sorted({'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)))"
    )
    root = Path(registry.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split("\n")[0] == "True True {} {} []"
