"""Puts PASTA's vectors into a model: hooks at the entrance of each layer, and a choice of adapters."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.train.model import head_modules
from methods.pasta.families import family_of
from methods.pasta.vectors import SpecialTokenVectors, find_slots

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Choice = str | Sequence[str] | Tensor | None
Inputs = tuple[tuple[Any, ...], dict[str, Any]]


class Attachment(nn.Module):
    """The adapters of one model, and the hooks that apply them.

    PASTA, section 3: h_i becomes h_i + e(v_p) where token i is the p-th special token of its sequence, and
    stays as it is elsewhere. What a layer receives includes what its residual connection carries, so the
    vectors are added to the layer's input as a whole, as in the authors' code.

    An adapter is its vectors and its head. The first adapter's head is the model's own; each further one
    may bring a head of its own, whose logits then replace the model's. Which adapters are in use is
    set by `use`, or for one call by the keyword `adapters` of the model: a name, or one name or index per
    example.

    It is a part of the backbone, so its parameters move, train and are copied with the model's. One call
    at a time: where each special token stands is kept from a call's beginning to its end, and to the end of
    its backward pass under gradient checkpointing. The replicas of nn.DataParallel share their hooks, and so their
    vectors: use DistributedDataParallel.

    Args:
        model: a model with or without a head, of a family that PASTA knows.
        special_ids: ids of the special tokens that its tokenizer puts around texts.

    Raises:
        UnsupportedModel: for any other model.
    """

    special_ids: Tensor
    slots: Tensor

    def __init__(self, model: PreTrainedModel, special_ids: Sequence[int]) -> None:
        super().__init__()
        family = family_of(model.config)
        self.adapters = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        self.register_buffer("special_ids", torch.tensor(sorted(set(special_ids))), persistent=False)
        self.register_buffer("slots", torch.tensor([], dtype=torch.int64), persistent=False)
        self._known_ids = set(special_ids)
        self._default: Choice = None
        self._names: tuple[str, ...] = ()  # the adapters in use
        self._rows: Tensor | None = None  # the one of each example, as an index into _names; None: all the first
        self._slots: tuple[int, ...] = ()  # the occurrences that any of them has a vector for
        self._positions: Tensor | None = None
        self._present: Tensor | None = None
        self.check_next = False  # count the special tokens of the next batch; of every batch it would stall a GPU
        self._applied: dict[int, int] = {}  # how often a layer that is applied several times was, in this call
        # Bound methods and partials of them, not closures: a copied or pickled model gets hooks of its own.
        model.register_forward_pre_hook(self._before_call, with_kwargs=True)
        backbone: Any = model.base_model
        backbone.register_forward_pre_hook(self._before_backbone, with_kwargs=True)
        layers = family.layers(backbone)
        for layer in dict.fromkeys(layers):
            applications = tuple(at for at, each in enumerate(layers) if each is layer)
            layer.register_forward_pre_hook(partial(self._before_layer, applications), with_kwargs=True)
        for name, head in trained_head(model).items():
            head.register_forward_hook(partial(self._after_head, name), with_kwargs=True)
        backbone.pasta = self.train(model.training).to(model.device)

    def add(self, name: str, vectors: SpecialTokenVectors, head: nn.ModuleDict | None = None) -> None:
        """Take an adapter in and use it. head: in the place of the model's own, by the names of its modules."""
        if name in self.adapters:
            raise ValueError(f"There is an adapter {name!r} on this model already; give the new one another name.")
        if set(vectors.template) != self._known_ids:
            raise ValueError("All adapters of a model must be for one tokenizer: their special tokens differ.")
        self.adapters[name] = vectors
        if head is not None:
            self.heads[name] = head
        self.train(self.training)
        self.use(name)

    def adapter(self, name: str) -> SpecialTokenVectors:
        """An adapter's vectors.

        Raises:
            ValueError: if there is none of that name.
        """
        if name not in self.adapters:
            raise ValueError(f"There is no adapter {name!r} on this model; there are: {', '.join(self.adapters)}.")
        found: Any = self.adapters[name]
        return found

    def head(self, name: str) -> nn.ModuleDict | None:
        """An adapter's own head; None: the model's is its."""
        heads: dict[str, Any] = dict(self.heads.items())
        return heads.get(name)

    def copy_of_head(self, model: PreTrainedModel) -> nn.ModuleDict:
        """The model's own head once more, without the hook that lets other heads answer in its place."""
        copies = copy.deepcopy(trained_head(model), {id(self): self})
        for part in copies.values():
            for key, hook in list(part._forward_hooks.items()):
                if isinstance(hook, partial) and hook.func == self._after_head:
                    del part._forward_hooks[key]
        return nn.ModuleDict(copies)

    def use(self, choice: Choice) -> None:
        """Use these adapters from now on: one name, or one name or index an example; None: the base model."""
        self._choose(choice)
        self._default = choice

    def _choose(self, choice: Choice) -> None:
        rows: Tensor | None = None
        if choice is None:
            names: tuple[str, ...] = ()
        elif isinstance(choice, str):
            names = (choice,)
        elif isinstance(choice, Tensor):
            names, rows = tuple(self.adapters), choice.to(self.special_ids.device)
        else:
            names = tuple(dict.fromkeys(choice))
            rows = torch.tensor([names.index(name) for name in choice], device=self.special_ids.device)
        slots = sorted({slot for name in names for slot in self.adapter(name).layout.slots})
        if tuple(slots) != self._slots:
            self._slots = tuple(slots)
            self.slots = torch.tensor(slots, dtype=torch.int64, device=self.special_ids.device)
        self._names, self._rows = names, rows

    def _before_call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Inputs:
        """At the beginning of a call: take `adapters` out of its keywords."""
        self._choose(kwargs.pop("adapters", self._default))
        return args, kwargs

    def _before_backbone(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """When the backbone is called: find the special tokens, once for all layers."""
        input_ids = args[0] if args else kwargs.get("input_ids")
        if input_ids is None:
            raise ValueError("PASTA finds special tokens by their ids: call the model with input_ids.")
        if self._rows is not None and len(self._rows) != len(input_ids):
            raise ValueError(f"{len(self._rows)} adapters were chosen for a batch of {len(input_ids)} examples.")
        if self._names:
            if self.check_next:
                self._warn_of_further_tokens(input_ids)
            self._positions, self._present = find_slots(input_ids, self.special_ids, self.slots)
        self._applied = {}

    def _warn_of_further_tokens(self, input_ids: Tensor) -> None:
        """Warn where a batch has more special tokens than the adapters in use were made for."""
        self.check_next = False
        expected = max(len(self.adapter(name).template) for name in self._names)
        found = int(torch.isin(input_ids, self.special_ids).sum(1).max())
        if found > expected:
            warnings.warn(
                f"An input has {found} special tokens, and the adapter has vectors for {expected}: the others get "
                "none. For pairs of texts, attach with pair=True.",
                stacklevel=2,
            )

    def _before_layer(
        self, applications: tuple[int, ...], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Inputs | None:
        """When a layer is called: add this layer's vectors to what it gets."""
        layer = applications[0]
        if len(applications) > 1:
            done = self._applied.get(layer, 0)
            self._applied[layer] = done + 1
            layer = applications[done]
        added = self._added(layer)
        if added is None:
            return None
        if args:
            return (self._add(args[0], added), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": self._add(kwargs["hidden_states"], added)}

    def _added(self, layer: int) -> Tensor | None:
        """What this layer adds: [slots, hidden], or [batch, slots, hidden] where examples differ; None: nothing."""
        tables = [self.adapter(name).at(layer, self._slots) for name in self._names]
        first = next((table for table in tables if table is not None), None)
        if first is None or self._rows is None:
            return first
        return torch.stack([torch.zeros_like(first) if table is None else table for table in tables])[self._rows]

    def _add(self, hidden: Tensor, added: Tensor) -> Tensor:
        """[batch, length, hidden] with the vectors added where the special tokens stand."""
        assert self._positions is not None
        assert self._present is not None
        vectors = added.to(hidden.dtype) * self._present.unsqueeze(2).to(hidden.dtype)
        rows = torch.arange(hidden.shape[0], device=hidden.device).unsqueeze(1)
        # index_put rather than scatter_add: it has a deterministic implementation on CUDA as well.
        return hidden.index_put((rows, self._positions), self._drop(vectors), accumulate=True)

    def _drop(self, vectors: Tensor) -> Tensor:
        """Dropout of elements of the added vectors, for each example apart, as in the authors' code."""
        if not self.training:
            return vectors
        rates = {self.adapter(name).dropout for name in self._names}
        if len(rates) > 1:
            raise ValueError("Adapters of different dropout cannot train in one batch.")
        return functional.dropout(vectors, rates.pop())

    def _after_head(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> Tensor | None:
        """After a module of the head: replace its output by that of each adapter's own head.

        Every head in use is computed for all examples, which costs little beside the backbone and reads nothing
        back from the device. Where heads have different numbers of labels, the missing ones are -inf.
        """
        heads = [self.head(each) for each in self._names]
        if not any(heads):
            return None
        answers = [output if head is None else head[name](*args, **kwargs) for head in heads]
        if self._rows is None:
            return answers[0]
        widest = max(answer.shape[-1] for answer in answers)
        padded = [functional.pad(a, (0, widest - a.shape[-1]), value=float("-inf")) for a in answers]
        return torch.stack(padded)[self._rows, torch.arange(len(self._rows), device=output.device)]


def trained_head(model: PreTrainedModel) -> dict[str, nn.Module]:
    """The parts of a model's head that have parameters, by name; none for a bare backbone."""
    return {name: part for name, part in head_modules(model).items() if any(True for _ in part.parameters())}


def attachment(model: PreTrainedModel) -> Attachment:
    """What was put on this model.

    Raises:
        ValueError: if nothing was.
    """
    found = getattr(model.base_model, "pasta", None)
    if not isinstance(found, Attachment):
        raise ValueError("There is no PASTA adapter on this model: call pasta.attach or pasta.load first.")
    return found
