"""PASTA as its authors formulate it, to compare with `methods/pasta`: the same numbers, by another way.

After `PASTA_modeling.py` and `main_glue.py` of github.com/luka-group/PASTA, written anew on transformers 5. What
was taken over:

- a Python loop over all special tokens of a batch, one after the other, that marks each in a tensor
  [slots, batch, length] (the i-th special token found belongs to slot i modulo their number in the first text);
- in each layer a loop over the slots: the slot's vector, times its marks over the whole [batch, length, hidden],
  goes through dropout and is added to the whole hidden state;
- nothing is frozen: gradients are computed for all weights of the model. Only the vectors and the classifier are in
  the optimiser, whose `zero_grad` clears these alone, so that the others' gradients add up from step to step;
- a shuffling DataLoader with DataCollatorWithPadding, the model's own loss, AdamW, a linear schedule.

Theirs but not taken over: transformers 4's attention and its AdamW (both are torch's here, and fused AdamW), and
`accelerate` around model and data. All of that makes this version faster than theirs is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.errors import NotApplicable
from bench.grid import seeds
from bench.plugins.recipe import Recipe
from bench.speed.contender import Call
from bench.speed.hf_trainer import stock_model
from bench.speed.setting import Setting, columns
from bench.train.data import Encoded
from bench.train.model import head_parameters

if TYPE_CHECKING:
    from torch import Tensor, nn

VECTORS = "special_token_embedding"


class PastaReference:
    """The authors' formulation and loop."""

    def __init__(self, setting: Setting, seed: int) -> None:
        import torch

        self._tokenizer = setting.tokenizer
        self.module: nn.Module = stock_model(setting, seed)
        torch.manual_seed(seeds.streams(seed)[seeds.METHOD_INIT])
        attach_reference(self.module, setting.context.template)

    def prepare(self, data: Encoded, recipe: Recipe, seed: int) -> Call:
        import torch
        from datasets import Dataset
        from torch.utils.data import DataLoader
        from transformers import DataCollatorWithPadding, get_linear_schedule_with_warmup

        from bench.train.loop import total_steps

        dataset = Dataset.from_dict(columns(data))
        total, model = total_steps(len(data), recipe), self.module
        model.zero_grad(set_to_none=True)
        torch.manual_seed(seeds.streams(seed)[seeds.TRAINING])

        def call() -> Sequence[int]:
            loader = DataLoader(
                dataset,
                shuffle=True,
                collate_fn=DataCollatorWithPadding(self._tokenizer),
                batch_size=recipe.batch_size,
            )
            optimizer = torch.optim.AdamW(
                trained(model), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
            )
            schedule = get_linear_schedule_with_warmup(optimizer, round(recipe.warmup_ratio * total), total)
            masks: list[Tensor] = []
            model.train()
            while len(masks) < total:
                for batch in loader:
                    masks.append(batch["attention_mask"])
                    model(**batch).loss.backward()
                    optimizer.step()
                    schedule.step()
                    optimizer.zero_grad()
                    if len(masks) == total:
                        break
            return [int(mask.sum()) for mask in masks]

        return call


def attach_reference(model: Any, template: Sequence[int]) -> None:
    """Put the authors' formulation on a BERT, in place; the vectors are drawn by torch's global generator.

    Args:
        template: ids of the special tokens of a full input, in order.

    Raises:
        NotApplicable: for a model that is no BERT, as theirs is.
    """
    from torch import nn

    config = model.config
    if config.model_type != "bert":
        raise NotApplicable(
            f"The authors' PASTA is for BERT, and this model is {config.model_type!r}: leave pasta-reference out."
        )
    backbone = model.base_model
    backbone.register_forward_pre_hook(partial(_mark, set(template)), with_kwargs=True)
    for layer in backbone.encoder.layer:
        vectors = nn.Embedding(len(template), config.hidden_size)
        nn.init.normal_(vectors.weight, std=config.initializer_range)
        setattr(layer, VECTORS, vectors)
        layer.special_token_dropout = nn.Dropout(config.hidden_dropout_prob)
        layer.register_forward_pre_hook(partial(_add, backbone))


def vectors_of(model: Any) -> list[nn.Parameter]:
    """The vectors of each layer: [slots, hidden] each."""
    return [getattr(layer, VECTORS).weight for layer in model.base_model.encoder.layer]


def trained(model: Any) -> list[nn.Parameter]:
    """What is in the optimiser: the vectors and the head."""
    return [*vectors_of(model), *head_parameters(model)]


def special_token_marks(input_ids: Tensor, special_ids: set[int]) -> Tensor:
    """Which token is which special token: [slots, batch, length], int64, 1 at each slot's token and 0 elsewhere.

    input_ids: [batch, length].
    """
    import torch

    special = torch.zeros_like(input_ids)
    for special_id in sorted(special_ids):
        special = special + (input_ids == special_id).long()
    slots = int(special[0].sum())
    places = special.nonzero()
    marks = torch.zeros((slots, *input_ids.shape), dtype=torch.int64)
    for at in range(len(places)):
        marks[at % slots][places[at][0], places[at][1]] = 1
    return marks


def _mark(special_ids: set[int], backbone: Any, args: Any, kwargs: dict[str, Any]) -> None:
    input_ids = args[0] if args else kwargs["input_ids"]
    backbone.special_token_marks = special_token_marks(input_ids, special_ids)


def _add(backbone: Any, layer: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    import torch

    hidden, *rest = args
    marks = backbone.special_token_marks
    for slot in range(len(marks)):
        vector = getattr(layer, VECTORS)(torch.tensor([slot])).squeeze()
        marked = marks[slot].unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
        hidden = hidden + layer.special_token_dropout(vector * marked)
    return (hidden, *rest)
