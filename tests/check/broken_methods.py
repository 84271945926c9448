"""Methods that violate one requirement each, by the check that has to find it. All else about them is right."""

from functools import partial
from typing import Any

import numpy as np
import torch
from broken import Broken, breaks_a_requirement
from honest_plugins import Shift
from safetensors.torch import load_file, save_file
from torch import nn

from bench.errors import NotApplicable
from bench.plugins import Recipe

BROKEN: list[Broken] = []
breaks = partial(breaks_a_requirement, BROKEN)


def variant(check: str, error: str, *also: str, **members: Any) -> None:
    """`Shift` with other members."""
    breaks(check, error, *also)(type(f"Variant{len(BROKEN)}", (Shift,), members))


def applies(check: str, error: str, *also: str, before: Any = None, after: Any = None) -> None:
    """`Shift` that does something to the model before or after it is applied."""

    def apply(self: Any, model: Any, task: Any) -> Any:
        if before:
            before(model)
        model = Shift.apply(self, model, task)
        if after:
            after(model)
        return model

    variant(check, error, *also, apply=apply)


def runs(check: str, error: str, *also: str, training: Any = None, shifted: Any = None) -> None:
    """`Shift` with another forward pass, or that does something to the embeddings in each step of training."""

    def forward(self: Any, embeddings: Any, args: Any, output: Any) -> Any:
        found = Shift.shifted(self, embeddings, args, output) if shifted is None else shifted(embeddings, output)
        if training and embeddings.training and torch.is_grad_enabled():
            training(embeddings)
        return found

    variant(check, error, *also, shifted=forward)


# applies


def raising(error: BaseException) -> Any:
    def apply(self: Any, model: Any, task: Any) -> Any:
        raise error

    return apply


variant("applies", "returns None, not the module to call", apply=lambda self, model, task: None)
variant("applies", "ValueError: no such luck", apply=raising(ValueError("no such luck\nand a second line")))
variant("applies", "SystemExit: 3", apply=raising(SystemExit(3)))
runs(
    "applies", "not every logit is finite", shifted=lambda embeddings, output: output + embeddings.shift * float("inf")
)


@breaks("applies", "the logits have the shape (12, 4), not (12, 3)")
class AddsALabel(Shift):
    def apply(self, model, task):
        def widened(module, args, output):
            output.logits = nn.functional.pad(output.logits, (0, 1))

        model.register_forward_hook(widened)
        return super().apply(model, task)


# recipe

for error, recipe in {
    "recipe returns {'learning_rate': 0.01}, not a Recipe": lambda: {"learning_rate": 0.01},
    "other settings": lambda: Recipe(learning_rate=float(torch.rand(()) + 0.1), epochs=1, chosen_by="a die"),
    "who chose": lambda: Recipe(learning_rate=0.01, epochs=1, chosen_by=" "),
}.items():
    variant("recipe", error, recipe=lambda self, task, config, make=recipe: make())

# head-untouched

applies("head-untouched", "apply changed the values of the head's 'classifier.weight'",
        before=lambda model: model.classifier.weight.data.mul_(2))  # fmt: skip
applies("head-untouched", "apply changed 'classifier', which belongs to the head",
        before=lambda model: setattr(model, "classifier", nn.Sequential(model.classifier)))  # fmt: skip
applies(
    "head-untouched", "the head's 'classifier.bias' is no parameter of the module that apply returns",
    before=lambda model: setattr(model.classifier, "bias", nn.Parameter(model.classifier.bias.clone(), False)),
)  # fmt: skip

# trainables-real


@breaks("trainables-real", "a gradient reaches a tensor of shape (32,)")
class HidesAVector(Shift):
    """In a closure, where no optimiser and no file finds it."""

    def apply(self, model, task):
        model = super().apply(model, task)
        hidden = torch.full((model.config.hidden_size,), 0.1, requires_grad=True)
        model.base_model.embeddings.register_forward_hook(lambda module, args, output: output + hidden)
        return model


applies("trainables-real", "spare is trainable and does not change", "count",
        before=lambda model: setattr(model.base_model, "spare", nn.Parameter(torch.ones(3))))  # fmt: skip
runs("trainables-real", "shift no longer trains after a few steps", "save-and-load",
     training=lambda embeddings: embeddings.shift.requires_grad_(False))  # fmt: skip

# frozen-unchanged

applies("frozen-unchanged", "apply changed 'bert.embeddings.LayerNorm.weight', which is pretrained and frozen",
        before=lambda model: model.base_model.embeddings.LayerNorm.weight.data.mul_(1.5))  # fmt: skip
runs("frozen-unchanged", "bert.embeddings.LayerNorm.bias is frozen and changes in training", "save-and-load",
     training=lambda embeddings: embeddings.LayerNorm.bias.data.mul_(0.9))  # fmt: skip
runs("frozen-unchanged", "memory is new after a few steps",
     training=lambda embeddings: embeddings.register_buffer("memory", torch.zeros(1)))  # fmt: skip


# count

variant("count", "trainable_formula says 33, but 32 parameters train",
        trainable_formula=lambda self, config, task: config.hidden_size + 1)  # fmt: skip

# starts-at-base, modes-agree, batch-independent

variant("starts-at-base", "starts_at_base says True, and the untrained logits differ from the base model's by",
        starts_at_base=lambda self: True)  # fmt: skip
applies("starts-at-base", "starts_at_base says False, and the untrained logits are the base model's",
        after=lambda model: model.base_model.embeddings.shift.data.zero_())  # fmt: skip
runs("modes-agree", "without dropout the logits of the two modes differ by",
     shifted=lambda embeddings, output: output + embeddings.shift * (2 if embeddings.training else 1))  # fmt: skip
runs("batch-independent", "an example's logits alone and in a padded batch differ by",
     shifted=lambda embeddings, output: output + embeddings.shift - output.mean(0, keepdim=True))  # fmt: skip

# save-and-load


def saves(error: str, more: Any) -> None:
    """`Shift` that does more when it saves: to the vector, or to the folder."""

    def save(self: Any, model: Any, folder: Any) -> None:
        Shift.save(self, model, folder)
        more(model.base_model.embeddings.shift, folder)

    variant("save-and-load", error, save=save)


def save_half_precision(shift: Any, folder: Any) -> None:
    file = folder / "adapter.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(file).items()}, file)


saves("the loaded model's logits differ from the saved model's by", save_half_precision)
saves("save writes adapter.pt; only safetensors and JSON files",
      lambda shift, folder: torch.save(shift, folder / "adapter.pt"))  # fmt: skip
saves("adapter.json has another format than its name says",
      lambda shift, folder: torch.save(shift, folder / "adapter.json"))  # fmt: skip
saves("save writes no safetensors file", lambda shift, folder: (folder / "adapter.safetensors").unlink())
saves("save changes the model that it saves", lambda shift, folder: shift.data.mul_(8).round_().div_(8))

# misfit-refused


def loads(error: str, fill: Any) -> None:
    """`Shift` that fills its tensors from a file in its own way."""

    def load(self: Any, model: Any, folder: Any) -> None:
        trained = {name: p.data for name, p in model.named_parameters() if p.requires_grad}
        fill(trained, load_file(folder / "adapter.safetensors"))

    variant("misfit-refused", error, load=load)


def broadcast(trained: Any, saved: Any) -> None:
    if saved.keys() != trained.keys() or any(saved[name].dim() != tensor.dim() for name, tensor in trained.items()):
        raise ValueError("does not fit")
    for name in trained:
        trained[name].copy_(saved[name])


loads("is refused with a KeyError", lambda trained, saved: [trained[name].copy_(saved[name]) for name in trained])
loads("a file without bert.embeddings.shift is loaded without an error",
      lambda trained, saved: [trained[name].copy_(saved[name]) for name in trained.keys() & saved.keys()])  # fmt: skip
loads("a file with one row of", broadcast)

# one-start


def draw_with_numpy(model: Any) -> None:
    shift = model.base_model.embeddings.shift
    shift.data.copy_(torch.from_numpy(np.random.normal(size=shift.shape)))


applies("one-start", "shift starts differently at one seed", after=draw_with_numpy)
applies("one-start", "apply reseeds torch's global generator", before=lambda model: torch.manual_seed(42))
runs("one-start", "a training step reseeds torch's global generator", training=lambda embeddings: torch.manual_seed(0))


class AppliesToNothing(Shift):
    """Not broken, and not to be checked either."""

    name = "applies-to-nothing"

    def apply(self, model, task):
        raise NotApplicable("it is for other encoders")
