"""What every method must do. Each check examines a trial: the method on one kind of task."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.check import examples
from bench.check.checks import Check, OnProgress, Outcome, run_checks
from bench.check.encoder import Encoder, logits
from bench.check.trial import SEED, STEPS, TRAINING_SEED, Tensors, Trial
from bench.errors import first_line
from bench.grid import seeds
from bench.plugins.method import Method
from bench.plugins.recipe import Recipe

CLOSE = 1e-5  # of the largest logit: what float32 leaves of a sum done in another order
FORMATS = (".safetensors", ".json")


def applies(trial: Trial) -> Iterator[str]:
    """apply takes a frozen encoder and returns a module that answers with logits of the task's shape."""
    found = trial.applied.logits
    tokens = trial.data.batch(range(len(trial.data))).inputs["input_ids"].shape
    shape = (*tokens[: 2 if trial.kind == "token-classification" else 1], examples.task(trial.kind).num_labels)
    if found.shape != shape:
        yield f"the logits have the shape {tuple(found.shape)}, not {shape}"
    if not found.isfinite().all():
        yield "not every logit is finite"


def recipe(trial: Trial) -> Iterator[str]:
    """recipe gives valid settings, the same each time, and says who chose them."""
    task, config = trial.encoder.context(trial.kind), trial.encoder.config(trial.kind)
    first: Any
    first, again = (trial.make().recipe(task, config) for _ in range(2))
    if not isinstance(first, Recipe):
        yield f"recipe returns {first!r}, not a Recipe"
    if first != again:
        yield "recipe gives other settings when it is called again"
    if not first.chosen_by.strip():
        yield "recipe does not say who chose its settings (chosen_by)"


def head_untouched(trial: Trial) -> Iterator[str]:
    """The head stays as the harness drew it, in its values and its structure: all methods start from one head."""
    if trial.applied.head_error:
        yield trial.applied.head_error


def trainables_real(trial: Trial) -> Iterator[str]:
    """The parameters that are marked as trainable, and nothing else, get a gradient and change within a few steps."""
    for shape in trial.applied.hidden:
        yield f"a gradient reaches a tensor of shape {shape} that is no trainable parameter of the module"
    before, after = trial.applied.tensors.trainable, trial.trained.tensors.trainable
    for name in sorted(before.keys() ^ after.keys()):
        yield f"{name} {'no longer trains' if name in before else 'trains only'} after a few steps"
    for name in before:
        if torch.equal(before[name], after[name]):
            yield f"{name} is trainable and does not change in {STEPS} steps"


def frozen_unchanged(trial: Trial) -> Iterator[str]:
    """Every frozen tensor, buffers included, stays bit-identical while the method is applied and trained."""
    if trial.applied.frozen_error:
        yield trial.applied.frozen_error
    before, after = trial.applied.tensors.frozen, trial.trained.tensors.frozen
    trainable = trial.applied.tensors.trainable.keys() | trial.trained.tensors.trainable.keys()
    for name in sorted((before.keys() ^ after.keys()) - trainable):
        yield f"{name} is {'gone' if name in before else 'new'} after a few steps"
    for name in before.keys() & after.keys():
        if not torch.equal(before[name], after[name]):
            yield f"{name} is frozen and changes in training"


def count(trial: Trial) -> Iterator[str]:
    """The number of parameters that train, without the head, is that of trainable_formula, where there is one."""
    promised = trial.make().trainable_formula(trial.encoder.config(trial.kind), trial.encoder.context(trial.kind))
    real = trial.applied.adapted.parameters.trainable
    if promised not in (None, real):
        yield f"trainable_formula says {promised!r}, but {real} parameters train"


def starts_at_base(trial: Trial) -> Iterator[str]:
    """starts_at_base tells whether the untrained method gives exactly the base model's logits."""
    base, mine = trial.encoder.base(trial.kind, SEED)[1], trial.applied.logits
    says = trial.make().starts_at_base()
    if torch.equal(mine, base) != says:
        found = f"differ from the base model's by {_distance(mine, base):.1g}" if says else "are the base model's"
        yield f"starts_at_base says {says}, and the untrained logits {found}"


def modes_agree(trial: Trial) -> Iterator[str]:
    """Train mode and evaluation mode give the same logits where every dropout is 0."""
    module = trial.trained.module
    _turn_dropout_off(module)
    evaluated = logits(module, trial.data)
    away = _distance(logits(module.train(), trial.data), evaluated)
    module.eval()
    if away > CLOSE:
        yield f"without dropout the logits of the two modes differ by {away:.1g}"


def batch_independent(trial: Trial) -> Iterator[str]:
    """An example's logits do not depend on which examples it shares a batch with."""
    module, data = trial.trained.module, trial.data
    together = logits(module, data)
    for at in sorted(range(len(data)), key=lambda at: data.lengths[at])[:3]:  # the shortest are padded most
        with torch.no_grad():
            alone = module(**data.batch([at]).inputs).logits[0]
        shared = together[at][: len(alone)] if trial.kind == "token-classification" else together[at]
        away = float((alone - shared).abs().max() / together.abs().max())
        if away > 10 * CLOSE:
            yield f"an example's logits alone and in a padded batch differ by {away:.1g}"


def save_and_load(trial: Trial) -> Iterator[str]:
    """Saving and loading gives exactly the same logits, and only safetensors and JSON files are written."""
    trained = trial.trained.module
    want = logits(trained, trial.data)
    with TemporaryDirectory() as folder:
        saved = Path(folder, "adapter")
        trial.make().save(trained, saved)
        yield from _file_errors(saved)
        if not torch.equal(logits(trained, trial.data), want):
            yield "save changes the model that it saves"
        other = trial.fresh(seed=SEED + 1).module
        trial.make().load(other, saved)
    if away := _distance(logits(other, trial.data), want):
        yield f"the loaded model's logits differ from the saved model's by {away:.1g}"


def misfit_refused(trial: Trial) -> Iterator[str]:
    """An adapter that does not fit is refused with a ValueError."""
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
                except Exception as error:  # noqa: BLE001 - any other class is what is looked for
                    yield f"a file {what} is refused with a {first_line(error)}, not with a ValueError"
                yield f"a file {what} is loaded without an error"


def one_start(trial: Trial) -> Iterator[str]:
    """One seed gives one start: apply draws from torch's global generator alone, and no step reseeds it either."""
    if trial.applied.initial_seed != seeds.streams(SEED)[seeds.METHOD_INIT]:
        yield "apply reseeds torch's global generator: every repetition would be the same run"
    if trial.trained.initial_seed != TRAINING_SEED:
        yield "a training step reseeds torch's global generator"
    first = trial.applied.tensors
    random.seed()  # Python's and numpy's generators are not the harness's: another state must not matter
    np.random.seed()
    again = Tensors.of(trial.fresh(SEED).module)
    for tensors, others in ((first.trainable, again.trainable), (first.frozen, again.frozen)):
        for name in tensors:
            if name not in others or not torch.equal(tensors[name], others[name]):
                yield f"{name} starts differently at one seed: it is not drawn from torch's global generator"


EVERY_KIND: tuple[Check[Trial], ...] = (
    applies,  # the first: unless it passes, the others have nothing to look at
    recipe, head_untouched, trainables_real, frozen_unchanged, count, starts_at_base, batch_independent,
    save_and_load,
    modes_agree,  # the last: it leaves the dropout off
)  # fmt: skip
ONE_KIND: tuple[Check[Trial], ...] = (misfit_refused, one_start)
"""What does not depend on the task is checked on the first kind that the method applies to."""


def method_outcomes(
    make: Callable[[], Method], encoder: Encoder, report: OnProgress = lambda progress: None
) -> Iterator[Outcome]:
    """A method's checks, on every kind of task."""
    once = ONE_KIND
    for kind in examples.KINDS:
        outcomes = list(run_checks((*EVERY_KIND, *once), Trial(make, kind, encoder), report, kind))
        yield from outcomes
        if outcomes[0].status == "ok":
            once = ()


def _distance(one: Tensor, other: Tensor) -> float:
    """The largest difference as a share of the largest number."""
    return float((one - other).abs().max() / other.abs().max())


def _turn_dropout_off(module: nn.Module) -> None:
    """Model families keep dropouts in modules, attributes and configurations; all have the word in their name."""
    for part in module.modules():
        is_dropout = isinstance(part, nn.modules.dropout._DropoutNd)
        for place in (part, getattr(part, "config", None)):
            for name, value in list(vars(place).items()) if place is not None else ():
                if isinstance(value, float) and ("dropout" in name or (is_dropout and name == "p")):
                    setattr(place, name, 0.0)


def _file_errors(folder: Path) -> Iterator[str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if not any(file.suffix == ".safetensors" for file in files):
        yield "save writes no safetensors file, although the head is trained"
    for file in files:
        if file.suffix not in FORMATS:
            yield f"save writes {file.name}; only safetensors and JSON files are safe to share"
        try:
            load_file(file) if file.suffix == ".safetensors" else json.loads(file.read_text(encoding="utf-8"))
        except (SafetensorError, ValueError) as error:
            yield f"{file.name} has another format than its name says: {first_line(error)}"


def _misfits(tensors: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Adapters that do not fit where these do, each with what is wrong."""
    name = next(iter(tensors))
    yield f"without {name}", {key: value for key, value in tensors.items() if key != name}
    yield "with an extra tensor", {**tensors, "one.more": torch.zeros(1)}
    yield f"with an extra dimension in {name}", {**tensors, name: tensors[name].unsqueeze(-1).contiguous()}
    wide = next((key for key, value in tensors.items() if value.dim() and len(value) > 1), None)
    if wide is not None:  # which copy_ would broadcast
        yield f"with one row of {len(tensors[wide])} in {wide}", {**tensors, wide: tensors[wide][:1].contiguous()}
