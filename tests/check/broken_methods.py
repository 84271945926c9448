"""Methods that break one promise each, by the clause that has to catch them. All else about them is as it should be.

BROKEN holds, for each clause, its methods and a part of what is said of each. A method for which ALSO names
clauses cannot break its own without them.
"""

import copy
from typing import Any

import numpy as np
import torch
from honest_plugins import Shift
from safetensors.torch import load_file, save_file
from torch import nn

from bench.errors import NotApplicable
from bench.plugins.method import Method, Params
from bench.plugins.recipe import Recipe

BROKEN: dict[str, dict[type[Method], str]] = {}
ALSO: dict[type[Method], set[str]] = {}


def breaks(clause: str, said: str, *also: str) -> Any:
    def note(plugin: type[Method]) -> type[Method]:
        plugin.name = plugin.__name__
        BROKEN.setdefault(clause, {})[plugin] = said
        ALSO[plugin] = set(also)
        return plugin

    return note


# applies


@breaks("applies", "apply returns None")
class ForgetsToReturn(Shift):
    def apply(self, model, task):
        super().apply(model, task)


@breaks("applies", "ValueError: no such luck")
class Raises(Shift):
    def apply(self, model, task):
        raise ValueError("no such luck\nand a second line")


@breaks("applies", "SystemExit: 3")
class Leaves(Shift):
    def apply(self, model, task):
        raise SystemExit(3)


@breaks("applies", "the logits have the shape (12, 4), and not (12, 3)")
class AddsALabel(Shift):
    def apply(self, model, task):
        def widened(module, args, output):
            output.logits = nn.functional.pad(output.logits, (0, 1))

        model.register_forward_hook(widened)
        return super().apply(model, task)


@breaks("applies", "not every logit is finite")
class Overflows(Shift):
    def shifted(self, embeddings, args, output):
        return output + embeddings.shift * float("inf")


# recipe


@breaks("recipe", "ValidationError")
class UncheckedRecipe(Shift):
    def recipe(self, task, config):
        return Recipe.model_construct(learning_rate=-1.0, epochs=1, chosen_by="nobody")


@breaks("recipe", "recipe returns {'learning_rate': 0.01}")
class DictRecipe(Shift):
    def recipe(self, task, config):
        return {"learning_rate": 0.01}


@breaks("recipe", "other settings")
class RandomRecipe(Shift):
    def recipe(self, task, config):
        return Recipe(learning_rate=float(torch.rand(()) + 0.1), epochs=1, chosen_by="a die")


@breaks("recipe", "who chose")
class NobodysRecipe(Shift):
    def recipe(self, task, config):
        return Recipe(learning_rate=0.01, epochs=1, chosen_by=" ")


@breaks("recipe", "KeyError: 'classification'")
class RecipeForPairsAlone(Shift):
    def recipe(self, task, config):
        rates = {"pair": 0.01}
        return Recipe(learning_rate=rates[task.kind], epochs=1, chosen_by="nobody")


# head-untouched


@breaks("head-untouched", "changed the values of the head's 'classifier.weight'")
class ScalesTheHead(Shift):
    def apply(self, model, task):
        with torch.no_grad():
            model.classifier.weight.mul_(2)
        return super().apply(model, task)


@breaks("head-untouched", "apply has changed 'classifier', which is the head's")
class WrapsTheHead(Shift):
    def apply(self, model, task):
        model.classifier = nn.Sequential(model.classifier)
        return super().apply(model, task)


@breaks("head-untouched", "another tensor in the place of the head's 'classifier.bias'")
class ReplacesTheBias(Shift):
    def apply(self, model, task):
        model.classifier.bias = nn.Parameter(model.classifier.bias.detach().clone(), requires_grad=False)
        return super().apply(model, task)


@breaks("head-untouched", "is no parameter of the module", "save-and-load")
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


@breaks("trainables-real", "spare is trainable and does not move", "gradients", "count")
class SparesAVector(Shift):
    def apply(self, model, task):
        model.base_model.spare = nn.Parameter(torch.ones(3))
        return super().apply(model, task)


@breaks("trainables-real", "shift no longer trains after a few steps", "save-and-load")
class StopsTraining(Shift):
    def shifted(self, embeddings, args, output):
        output = super().shifted(embeddings, args, output)
        if embeddings.training and torch.is_grad_enabled():
            embeddings.shift.requires_grad_(False)
        return output


# frozen-unchanged


@breaks("frozen-unchanged", "calls is frozen and changes while training")
class CountsItsCalls(Shift):
    def apply(self, model, task):
        model.base_model.embeddings.register_buffer("calls", torch.zeros(()))
        return super().apply(model, task)

    def shifted(self, embeddings, args, output):
        embeddings.calls += embeddings.training
        return super().shifted(embeddings, args, output)


@breaks("frozen-unchanged", "apply has changed 'bert.embeddings.LayerNorm.weight', which is pretrained and frozen")
class RewritesANorm(Shift):
    def apply(self, model, task):
        model.base_model.embeddings.LayerNorm.weight.data.mul_(1.5)
        return super().apply(model, task)


@breaks("frozen-unchanged", "bert.embeddings.LayerNorm.bias is frozen and changes while training", "save-and-load")
class TrainsByItself(Shift):
    def shifted(self, embeddings, args, output):
        if embeddings.training and torch.is_grad_enabled():
            embeddings.LayerNorm.bias.data.mul_(0.9)
        return super().shifted(embeddings, args, output)


@breaks("frozen-unchanged", "memory is new after a few steps")
class AddsABufferLater(Shift):
    def shifted(self, embeddings, args, output):
        if embeddings.training:
            embeddings.register_buffer("memory", torch.zeros(1))
        return super().shifted(embeddings, args, output)


# gradients


@breaks("gradients", "drift is trainable and its gradient is 0.0 in every step")
class DriftsWithoutAGradient(Shift):
    """It moves, but not by learning."""

    def apply(self, model, task):
        model = super().apply(model, task)
        model.base_model.embeddings.drift = nn.Parameter(torch.ones(3))
        return model

    def shifted(self, embeddings, args, output):
        if embeddings.training:
            embeddings.drift.data.add_(1)
        return super().shifted(embeddings, args, output)

    def trainable_formula(self, config, task):
        return config.hidden_size + 3


@breaks("gradients", "shift is trainable and its gradient is 0.0 in every step", "trainables-real")
class StaysAtASaddle(Shift):
    """A product of two zeros has no gradient, however long it is trained."""

    def apply(self, model, task):
        model = super().apply(model, task)
        model.base_model.embeddings.gate = nn.Parameter(torch.zeros(()))
        model.base_model.embeddings.shift.data.zero_()
        return model

    def shifted(self, embeddings, args, output):
        return output + embeddings.gate * embeddings.shift

    def trainable_formula(self, config, task):
        return config.hidden_size + 1

    def starts_at_base(self):
        return True


# count


@breaks("count", "trainable_formula says 33, and 32 parameters train")
class Miscounts(Shift):
    def trainable_formula(self, config, task):
        return config.hidden_size + 1


# starts-at-base


@breaks("starts-at-base", "of their size away from the base model's")
class ClaimsToStartAtBase(Shift):
    def starts_at_base(self):
        return True


@breaks("starts-at-base", "starts_at_base says False, and the untrained logits are the base model's")
class DeniesToStartAtBase(Shift):
    def apply(self, model, task):
        model = super().apply(model, task)
        model.base_model.embeddings.shift.data.zero_()
        return model


# generator-kept


@breaks("generator-kept", "a step seeds torch's global generator anew")
class SeedsEveryStep(Shift):
    def shifted(self, embeddings, args, output):
        torch.manual_seed(0)
        return super().shifted(embeddings, args, output)


# modes-agree


@breaks("modes-agree", "without dropout the logits of the two modes are")
class LouderInTraining(Shift):
    def shifted(self, embeddings, args, output):
        return output + embeddings.shift * (2 if embeddings.training else 1)


@breaks("modes-agree", "without dropout the logits of the two modes are")
class AlwaysDropsOut(Shift):
    """A slip that torch invites: functional.dropout drops in evaluation too."""

    def shifted(self, embeddings, args, output):
        if torch.is_grad_enabled() or not embeddings.training:
            return super().shifted(embeddings, args, output)
        return output + nn.functional.dropout(embeddings.shift, 0.5)


# batch-independent


@breaks("batch-independent", "away from those in a padded batch")
class LooksAtTheBatch(Shift):
    def shifted(self, embeddings, args, output):
        return super().shifted(embeddings, args, output) - output.mean(0, keepdim=True)


@breaks("batch-independent", "away from those in a padded batch")
class LooksAtPadding(Shift):
    def shifted(self, embeddings, args, output):
        return output + embeddings.shift * output.shape[1] / 10


# save-and-load


@breaks("save-and-load", "after a load the logits are")
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


@breaks("save-and-load", "after a load the logits are")
class SavesHalfPrecision(Shift):
    def save(self, model, folder):
        super().save(model, folder)
        tensors = load_file(folder / "adapter.safetensors")
        save_file({name: tensor.half() for name, tensor in tensors.items()}, folder / "adapter.safetensors")


@breaks("save-and-load", "save writes adapter.pt; only safetensors and JSON files")
class Pickles(Shift):
    def save(self, model, folder):
        super().save(model, folder)
        torch.save(model.base_model.embeddings.shift, folder / "adapter.pt")


@breaks("save-and-load", "adapter.json is not what its name says")
class PicklesInDisguise(Shift):
    def save(self, model, folder):
        super().save(model, folder)
        torch.save(model.base_model.embeddings.shift, folder / "adapter.json")


@breaks("save-and-load", "save writes no safetensors file")
class SavesAsText(Shift):
    def save(self, model, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.describe(folder, shift=model.base_model.embeddings.shift.tolist())


@breaks("save-and-load", "save changes the model that it saves")
class RoundsWhatItSaves(Shift):
    def save(self, model, folder):
        model.base_model.embeddings.shift.data.mul_(8).round_().div_(8)
        super().save(model, folder)


# misfit-refused


@breaks("misfit-refused", "a file without bert.embeddings.shift is loaded without a word")
class LoadsWhatThereIs(Shift):
    def load(self, model, folder):
        saved = load_file(folder / "adapter.safetensors")
        model.load_state_dict(saved, strict=False)


@breaks("misfit-refused", "is refused with a KeyError")
class LoadsByName(Shift):
    def load(self, model, folder):
        saved = load_file(folder / "adapter.safetensors")
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.data.copy_(saved[name])


@breaks("misfit-refused", "a file with one row of")
class Broadcasts(Shift):
    def load(self, model, folder):
        saved = load_file(folder / "adapter.safetensors")
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if saved.keys() != trained.keys() or any(saved[name].dim() != p.dim() for name, p in trained.items()):
            raise ValueError("does not fit")
        for name, parameter in trained.items():
            parameter.data.copy_(saved[name])


# one-start


@breaks("one-start", "shift starts differently at one seed")
class DrawsWithNumpy(Shift):
    def apply(self, model, task):
        model = super().apply(model, task)
        shift = model.base_model.embeddings.shift
        shift.data.copy_(torch.from_numpy(np.random.normal(size=shift.shape)))
        return model


@breaks("one-start", "apply seeds torch's global generator anew")
class SeedsItself(Shift):
    def apply(self, model, task):
        torch.manual_seed(42)
        return super().apply(model, task)


# params-text


class TupleParams(Params):
    std: float = 0.5
    dropout: float = 0.2
    targets: tuple[str, ...] = ("query", "value")  # as text, query+value


class CommaParams(Params):
    std: float = 0.5
    dropout: float = 0.2
    pattern: str = "query,value"


class SetParams(Params):
    std: float = 0.5
    dropout: float = 0.2
    names: frozenset[str] = frozenset({"query"})


@breaks("params-text", "targets in [std=0.5,dropout=0.2,targets=query+value] is not read back")
class WantsATuple(Shift):
    Params = TupleParams


@breaks("params-text", "UsageError: 'value' in 'TakesACommaAsText[")
class TakesACommaAsText(Shift):
    Params = CommaParams


@breaks("params-text", "names in [std=0.5,dropout=0.2,names=frozenset({'query'})] is not read back")
class TakesASet(Shift):
    Params = SetParams


class AppliesToNothing(Shift):
    """Not broken, and not to be checked either."""

    name = "applies-to-nothing"

    def apply(self, model, task):
        raise NotApplicable("it is for other encoders")
