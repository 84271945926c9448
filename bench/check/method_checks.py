"""What every method promises. Each clause looks at a trial: the method on one kind of task."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.check import Clause, clause, examples, first_line
from bench.check.encoder import logits
from bench.check.trial import SEED, STEPS, TRAINING_SEED, Tensors, Trial
from bench.grid import seeds
from bench.plugins import specs
from bench.plugins.recipe import Recipe

CLOSE = 1e-5  # of the largest logit: what float32 leaves of a sum done in another order
FORMATS = (".safetensors", ".json")


@clause("apply takes a frozen encoder and returns a module that answers with logits of the task's shape.")
def applies(trial: Trial) -> str | None:
    try:
        applied = trial.applied
    except AttributeError:
        returned: Any = trial.make().apply(trial.encoder.model(trial.kind), trial.encoder.context(trial.kind))
        if isinstance(returned, nn.Module):
            raise
        return f"apply returns {returned!r}, and not the module to call"
    labels = examples.task(trial.kind).num_labels
    batch = trial.data.batch(range(len(trial.data))).inputs["input_ids"]
    shape = (*(batch.shape if trial.kind == "token-classification" else batch.shape[:1]), labels)
    if applied.logits.shape != shape:
        return f"the logits have the shape {tuple(applied.logits.shape)}, and not {tuple(shape)}"
    return None if applied.logits.isfinite().all() else "not every logit is finite"


@clause("recipe gives valid settings, the same each time, and says who chose them.")
def recipe(trial: Trial) -> str | None:
    task, config = trial.encoder.context(trial.kind), trial.encoder.config(trial.kind)
    first: Any
    first, again = (trial.make().recipe(task, config) for _ in range(2))
    if not isinstance(first, Recipe):
        return f"recipe returns {first!r}, and not a Recipe"
    if first != again:
        return "recipe gives other settings when it is asked again"
    Recipe.model_validate(first.model_dump())  # it may have been constructed unchecked
    return None if first.chosen_by.strip() else "recipe does not say who chose its settings (chosen_by)"


@clause("The head stays as the harness drew it, in its values and its structure: methods at one seed share one start.")
def head_untouched(trial: Trial) -> str | None:
    return trial.applied.head_fault


@clause("What declares itself trainable is what a gradient reaches and what moves, all of it and nothing else.")
def trainables_real(trial: Trial) -> str | None:
    for shape in trial.applied.hidden:
        return f"a gradient reaches a tensor of shape {shape} that is no trainable parameter of the module"
    before, after = trial.applied.tensors.trainable, trial.trained.tensors.trainable
    for name in sorted(before.keys() ^ after.keys()):
        return f"{name} {'no longer trains' if name in before else 'trains only'} after a few steps"
    for name in before:
        if torch.equal(before[name], after[name]):
            return f"{name} is trainable and does not move in {STEPS} steps"
    return None


@clause("Every frozen tensor, buffers included, stays as it is to the bit, while applying and while training.")
def frozen_unchanged(trial: Trial) -> str | None:
    if trial.applied.frozen_fault:
        return trial.applied.frozen_fault
    before, after = trial.applied.tensors.frozen, trial.trained.tensors.frozen
    trainable = trial.applied.tensors.trainable.keys() | trial.trained.tensors.trainable.keys()
    for name in sorted((before.keys() ^ after.keys()) - trainable):
        return f"{name} is {'gone' if name in before else 'new'} after a few steps"
    for name in before.keys() & after.keys():
        if not torch.equal(before[name], after[name]):
            return f"{name} is frozen and changes while training"
    return None


@clause("Every trainable tensor gets a gradient that is not zero within a few steps.")
def gradients(trial: Trial) -> str | None:
    for name, size in trial.trained.gradients.items():
        if not size > 0:
            return f"{name} is trainable and its gradient is {size} in every step"
    return None


@clause("The number of parameters that train, the head left out, is that of trainable_formula, where there is one.")
def count(trial: Trial) -> str | None:
    config = trial.encoder.config(trial.kind)
    promised = trial.make().trainable_formula(config, trial.encoder.context(trial.kind))
    real = trial.applied.adapted.parameters.trainable
    return None if promised in (None, real) else f"trainable_formula says {promised!r}, and {real} parameters train"


@clause("A method that says it starts at the base model gives the base model's logits to the bit, and no other does.")
def starts_at_base(trial: Trial) -> str | None:
    base, mine = trial.encoder.base(trial.kind, SEED)[1], trial.applied.logits
    says = trial.make().starts_at_base()
    if torch.equal(mine, base) == says:
        return None
    found = f"are {_distance(mine, base):.1g} of their size away from" if says else "are"
    return f"starts_at_base says {says}, and the untrained logits {found} the base model's"


@clause("Train mode and evaluation mode give the same logits where every dropout is 0.")
def modes_agree(trial: Trial) -> str | None:
    module = trial.trained.module
    with _dropout_off(module):
        evaluated = logits(module, trial.data)
        away = _distance(logits(module.train(), trial.data), evaluated)
    module.eval()
    return None if away <= CLOSE else f"without dropout the logits of the two modes are {away:.1g} of their size apart"


@clause("An example's logits do not depend on which examples it shares a batch with.")
def batch_independent(trial: Trial) -> str | None:
    module, data = trial.trained.module, trial.data
    together = logits(module, data)
    for at in sorted(range(len(data)), key=lambda at: data.lengths[at])[:3]:  # the shortest are padded most
        with torch.no_grad():
            alone = module(**data.batch([at]).inputs).logits[0]
        shared = together[at][: len(alone)] if trial.kind == "token-classification" else together[at]
        away = float((alone - shared).abs().max() / together.abs().max())
        if away > 10 * CLOSE:
            return f"alone, an example's logits are {away:.1g} of their size away from those in a padded batch"
    return None


@clause("A save and a load give the same logits to the bit, and only safetensors and JSON files are written.")
def save_and_load(trial: Trial) -> str | None:
    trained = trial.trained.module
    want = logits(trained, trial.data)
    with TemporaryDirectory() as folder:
        saved = Path(folder, "adapter")
        trial.make().save(trained, saved)
        if fault := _files_fault(saved):
            return fault
        if not torch.equal(logits(trained, trial.data), want):
            return "save changes the model that it saves"
        other = trial.fresh(seed=SEED + 1).module
        trial.make().load(other, saved)
    away = _distance(logits(other, trial.data), want)
    return f"after a load the logits are {away:.1g} of their size away from the saved model's" if away else None


@clause("An adapter that does not fit is refused with a ValueError.")
def misfit_refused(trial: Trial) -> str | None:
    with TemporaryDirectory() as folder:
        saved, module = Path(folder), trial.fresh(SEED).module
        trial.make().save(module, saved)
        for file in sorted(saved.rglob("*.safetensors")):
            for what, tensors in _misfits(load_file(file)):
                save_file(tensors, file, metadata={"format": "pt"})
                try:
                    trial.make().load(module, saved)
                except ValueError:
                    continue
                except Exception as error:  # noqa: BLE001 - which one it is, is the finding
                    return f"a file {what} is refused with a {first_line(error)}, and not with a ValueError"
                return f"a file {what} is loaded without a word"
    return None


@clause("One seed gives one start: whatever apply draws comes from torch's global generator, which it never reseeds.")
def one_start(trial: Trial) -> str | None:
    if trial.applied.initial_seed != seeds.streams(SEED)[seeds.METHOD_INIT]:
        return "apply seeds torch's global generator anew: every repetition would be the same run"
    first = trial.applied.tensors
    with _other_chance():
        again = Tensors.of(trial.fresh(SEED).module)
    for tensors, others in ((first.trainable, again.trainable), (first.frozen, again.frozen)):
        for name in tensors:
            if name not in others or not torch.equal(tensors[name], others[name]):
                return f"{name} starts differently at one seed: it is not drawn from torch's global generator"
    return None


@clause("A step of training does not reseed torch's global generator.")
def generator_kept(trial: Trial) -> str | None:
    return None if trial.trained.initial_seed == TRAINING_SEED else "a step seeds torch's global generator anew"


@clause("Parameters written as JSON, or as key=value on the command line, are read back as the same.")
def params_text(trial: Trial) -> str | None:
    method = trial.make()
    params, identity = method.params, method.params.model_dump(mode="json")
    text = specs.params_text(params)
    ways = {
        "JSON": lambda: type(params).model_validate(json.loads(json.dumps(identity))),
        f"[{text}]": lambda: type(params).model_validate_strings(specs.parse(f"{method.name}[{text}]").params),
    }
    for what, read in ways.items():
        try:
            found = read().model_dump(mode="json")
        except ValidationError as error:
            fault = error.errors()[0]
            return f"{'.'.join(map(str, fault['loc']))} in {what} is not read back: {fault['msg']}"
        for key, value in identity.items():
            if found[key] != value:
                return f"{key} is {value!r}, and in {what} it is read back as {found[key]!r}"
    return None


EVERY_KIND: tuple[Clause[Trial], ...] = (
    applies,  # the first: where it does not hold, the others say nothing
    recipe,
    head_untouched,
    trainables_real,
    frozen_unchanged,
    gradients,
    count,
    starts_at_base,
    generator_kept,
    modes_agree,
    batch_independent,
    save_and_load,
)
ONE_KIND: tuple[Clause[Trial], ...] = (misfit_refused, one_start, params_text)
"""What does not depend on the task is looked at on the first kind that the method applies to."""


def _distance(one: Tensor, other: Tensor) -> float:
    """The largest difference as a share of the largest number."""
    return float((one - other).abs().max() / other.abs().max())


@contextmanager
def _dropout_off(module: nn.Module) -> Iterator[None]:
    """Families keep their dropouts in modules, attributes and configurations; all are called so."""
    before: list[tuple[Any, str, float]] = []
    for part in module.modules():
        is_dropout = isinstance(part, nn.modules.dropout._DropoutNd)
        for place in (part, getattr(part, "config", None)):
            for name, value in vars(place).items() if place is not None else ():
                if isinstance(value, float) and ("dropout" in name or (is_dropout and name == "p")):
                    before.append((place, name, value))
    try:
        for place, name, _ in before:
            setattr(place, name, 0.0)
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)


def _files_fault(folder: Path) -> str | None:
    files = sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []
    if not any(file.suffix == ".safetensors" for file in files):
        return "save writes no safetensors file, and the head at least is trained"
    for file in files:
        if file.suffix not in FORMATS:
            return f"save writes {file.name}; only safetensors and JSON files are safe to pass on"
        try:
            load_file(file) if file.suffix == ".safetensors" else json.loads(file.read_text(encoding="utf-8"))
        except (SafetensorError, ValueError) as error:
            return f"{file.name} is not what its name says: {first_line(error)}"
    return None


def _misfits(tensors: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Adapters that do not fit where these do, each with what is wrong."""
    name = next(iter(tensors))
    yield f"without {name}", {key: value for key, value in tensors.items() if key != name}
    yield "with a tensor too many", {**tensors, "one.more": torch.zeros(1)}
    yield f"with a dimension too many in {name}", {**tensors, name: tensors[name].unsqueeze(-1).contiguous()}
    wide = next((key for key, value in tensors.items() if value.dim() and len(value) > 1), None)
    if wide is not None:  # what copy_ would broadcast without a word
        yield f"with one row of {len(tensors[wide])} in {wide}", {**tensors, wide: tensors[wide][:1].contiguous()}


@contextmanager
def _other_chance() -> Iterator[None]:
    """The other generators of a Python process in a state that they were not in before."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(20221)
    np.random.seed(20221)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
