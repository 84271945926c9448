"""Methods that violate one requirement each, by the check that has to find it. All else about them is right.

BROKEN holds, for each check, its methods and a part of the error. A method for which ALSO names checks cannot fail
its own without them.
"""

import copy
from typing import Any

import numpy as np
import torch
from honest_plugins import Shift
from safetensors.torch import load_file, save_file
from torch import nn

from bench.errors import NotApplicable
from bench.plugins import Method, Recipe

BROKEN: dict[str, dict[type[Method], str]] = {}
ALSO: dict[type[Method], set[str]] = {}


def breaks(check: str, error: str, *also: str) -> Any:
    def note(plugin: type[Method]) -> type[Method]:
        plugin.name = plugin.__name__
        BROKEN.setdefault(check, {})[plugin] = error
        ALSO[plugin] = set(also)
        return plugin

    return note


def variant(check: str, error: str, *also: str, **members: Any) -> None:
    """`Shift` with other members."""
    breaks(check, error, *also)(type(f"Variant{len(ALSO)}", (Shift,), members))


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
    "ValidationError": lambda: Recipe.model_construct(learning_rate=-1.0, epochs=1, chosen_by="me"),
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
    "head-untouched", "apply replaced the head's 'classifier.bias' with another tensor",
    before=lambda model: setattr(model.classifier, "bias", nn.Parameter(model.classifier.bias.clone(), False)),
)  # fmt: skip


@breaks("head-untouched", "is no parameter of the module that apply returns", "save-and-load")
class ReturnsACopy(Shift):
    """The harness lets the head of what it gave train; the copy's stays as it is."""

    def apply(self, model, task):
        return copy.deepcopy(super().apply(model, task))


# trainables-real


@breaks("trainables-real", "a gradient reaches a tensor of shape (32,)")
class HidesAVector(Shift):
    """In a closure, where no optimiser and no file finds it."""

    def apply(self, model, task):
        model = super().apply(model, task)
        hidden = torch.full((model.config.hidden_size,), 0.1, requires_grad=True)
        model.base_model.embeddings.register_forward_hook(lambda module, args, output: output + hidden)
        return model


applies("trainables-real", "spare is trainable and does not change", "gradients", "count",
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


@breaks("frozen-unchanged", "calls is frozen and changes in training")
class CountsItsCalls(Shift):
    def apply(self, model, task):
        model.base_model.embeddings.register_buffer("calls", torch.zeros(()))
        return super().apply(model, task)

    def shifted(self, embeddings, args, output):
        embeddings.calls += embeddings.training
        return super().shifted(embeddings, args, output)


# gradients and count


class _WithAnother(Shift):
    """With a second parameter beside the vector."""

    start = torch.ones(3)

    def apply(self, model, task):
        model = super().apply(model, task)
        model.base_model.embeddings.other = nn.Parameter(self.start.clone())
        return model

    def trainable_formula(self, config, task):
        return config.hidden_size + self.start.numel()


@breaks("gradients", "other is trainable and its gradient is 0.0 in every step")
class DriftsWithoutAGradient(_WithAnother):
    """It changes, but not by learning."""

    def shifted(self, embeddings, args, output):
        if embeddings.training:
            embeddings.other.data.add_(1)
        return super().shifted(embeddings, args, output)


@breaks("gradients", "shift is trainable and its gradient is 0.0 in every step", "trainables-real")
class StaysAtASaddle(_WithAnother):
    """A product of two zeros has no gradient, however long it is trained."""

    start = torch.zeros(())

    def apply(self, model, task):
        model = super().apply(model, task)
        model.base_model.embeddings.shift.data.zero_()
        return model

    def shifted(self, embeddings, args, output):
        return output + embeddings.other * embeddings.shift

    def starts_at_base(self):
        return True


variant("count", "trainable_formula says 33, but 32 parameters train",
        trainable_formula=lambda self, config, task: config.hidden_size + 1)  # fmt: skip

# starts-at-base, generator-kept, modes-agree, batch-independent

variant("starts-at-base", "starts_at_base says True, and the untrained logits differ from the base model's by",
        starts_at_base=lambda self: True)  # fmt: skip
applies("starts-at-base", "starts_at_base says False, and the untrained logits are the base model's",
        after=lambda model: model.base_model.embeddings.shift.data.zero_())  # fmt: skip
runs("generator-kept", "a step reseeds torch's global generator", training=lambda embeddings: torch.manual_seed(0))
runs("modes-agree", "without dropout the logits of the two modes differ by",
     shifted=lambda embeddings, output: output + embeddings.shift * (2 if embeddings.training else 1))  # fmt: skip
runs("batch-independent", "an example's logits alone and in a padded batch differ by",
     shifted=lambda embeddings, output: output + embeddings.shift - output.mean(0, keepdim=True))  # fmt: skip
runs("batch-independent", "an example's logits alone and in a padded batch differ by",
     shifted=lambda embeddings, output: output + embeddings.shift * output.shape[1] / 10)  # fmt: skip


@breaks("modes-agree", "without dropout the logits of the two modes differ by")
class AlwaysDropsOut(Shift):
    """A slip that torch invites: functional.dropout drops in evaluation too."""

    def shifted(self, embeddings, args, output):
        if torch.is_grad_enabled() or not embeddings.training:
            return super().shifted(embeddings, args, output)
        return output + nn.functional.dropout(embeddings.shift, 0.5)


# save-and-load


@breaks("save-and-load", "the loaded model's logits differ from the saved model's by")
class ForgetsTheHead(Shift):
    def save(self, model, folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"shift": model.base_model.embeddings.shift.detach()}, folder / "adapter.safetensors")

    def load(self, model, folder):
        saved = load_file(folder / "adapter.safetensors")
        shift = model.base_model.embeddings.shift
        if saved.keys() != {"shift"} or saved["shift"].shape != shift.shape:
            raise ValueError("does not fit")
        shift.data.copy_(saved["shift"])


class _SavesMore(Shift):
    def save(self, model, folder):
        super().save(model, folder)
        self.more(model.base_model.embeddings.shift, folder)


@breaks("save-and-load", "the loaded model's logits differ from the saved model's by")
class SavesHalfPrecision(_SavesMore):
    def more(self, shift, folder):
        tensors = load_file(folder / "adapter.safetensors")
        save_file({name: tensor.half() for name, tensor in tensors.items()}, folder / "adapter.safetensors")


@breaks("save-and-load", "save writes adapter.pt; only safetensors and JSON files")
class Pickles(_SavesMore):
    def more(self, shift, folder):
        torch.save(shift, folder / "adapter.pt")


@breaks("save-and-load", "adapter.json has another format than its name says")
class PicklesInDisguise(_SavesMore):
    def more(self, shift, folder):
        torch.save(shift, folder / "adapter.json")


@breaks("save-and-load", "save writes no safetensors file")
class SavesAsText(_SavesMore):
    def more(self, shift, folder):
        (folder / "adapter.safetensors").unlink()
        self.describe(folder, shift=shift.tolist())


@breaks("save-and-load", "save changes the model that it saves")
class RoundsWhatItSaves(_SavesMore):
    def more(self, shift, folder):
        shift.data.mul_(8).round_().div_(8)


# misfit-refused


class _LoadsTensors(Shift):
    def load(self, model, folder):
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.fill(trained, load_file(folder / "adapter.safetensors"))

    def fill(self, trained, saved):
        for name, parameter in trained.items():
            parameter.data.copy_(saved[name])


breaks("misfit-refused", "is refused with a KeyError")(type("LoadsByName", (_LoadsTensors,), {}))


@breaks("misfit-refused", "a file without bert.embeddings.shift is loaded without an error")
class LoadsWhatThereIs(_LoadsTensors):
    def fill(self, trained, saved):
        super().fill({name: p for name, p in trained.items() if name in saved}, saved)


@breaks("misfit-refused", "a file with one row of")
class Broadcasts(_LoadsTensors):
    def fill(self, trained, saved):
        if saved.keys() != trained.keys() or any(saved[name].dim() != p.dim() for name, p in trained.items()):
            raise ValueError("does not fit")
        super().fill(trained, saved)


# one-start


def draw_with_numpy(model: Any) -> None:
    shift = model.base_model.embeddings.shift
    shift.data.copy_(torch.from_numpy(np.random.normal(size=shift.shape)))


applies("one-start", "shift starts differently at one seed", after=draw_with_numpy)
applies("one-start", "apply reseeds torch's global generator", before=lambda model: torch.manual_seed(42))

# params-text


class TupleParams(Shift.Params):
    targets: tuple[str, ...] = ("query", "value")  # as text, query+value


class CommaParams(Shift.Params):
    pattern: str = "query,value"


class SetParams(Shift.Params):
    names: frozenset[str] = frozenset({"query"})


variant("params-text", "targets in [std=0.5,dropout=0.2,targets=query+value] cannot be read back", Params=TupleParams)
variant("params-text", "UsageError: 'value' in 'Variant", Params=CommaParams)
variant("params-text", "names in [std=0.5,dropout=0.2,names=frozenset({'query'})] cannot be", Params=SetParams)


class AppliesToNothing(Shift):
    """Not broken, and not to be checked either."""

    name = "applies-to-nothing"

    def apply(self, model, task):
        raise NotApplicable("it is for other encoders")
