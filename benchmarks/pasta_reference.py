"""PASTA as its authors formulate it: the same numbers as `methods/pasta`, computed in another way.

After `PASTA_modeling.py` and `main_glue.py` of github.com/luka-group/PASTA, rewritten for transformers 5. Kept:

- a Python loop over all special tokens of a batch, one after the other, that marks each in a tensor
  [slots, batch, length] (the i-th special token found belongs to slot i modulo their number in the first text);
- in each layer a loop over the slots: the slot's vector, times its marks over the whole [batch, length, hidden],
  goes through dropout and is added to the whole hidden state;
- nothing is frozen: gradients are computed for all weights of the model. Only the vectors and the classifier are in
  the optimiser, whose `zero_grad` clears these alone, so that the others' gradients add up from step to step;
- a shuffling DataLoader with DataCollatorWithPadding, the model's own loss, AdamW, a linear schedule.

Not kept: transformers 4's attention and its AdamW (both are torch's here, and fused AdamW), and `accelerate` around
model and data. All of that makes this version faster than theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import NotApplicable
from bench.plugins.recipe import Recipe
from bench.train.model import head_parameters


def attach(model: Any, template: Sequence[int]) -> None:
    """Put the authors' formulation on a BERT, in place; torch's global generator draws the vectors.

    Args:
        template: ids of the special tokens of a full input, in order.

    Raises:
        NotApplicable: for a model of another family.
    """
    config = model.config
    if config.model_type != "bert":
        raise NotApplicable(f"The authors' PASTA is for BERT, and this model is {config.model_type!r}.")
    backbone = model.base_model
    backbone.register_forward_pre_hook(partial(_mark, set(template)), with_kwargs=True)
    for layer in backbone.encoder.layer:
        layer.special_token_embedding = nn.Embedding(len(template), config.hidden_size)
        nn.init.normal_(layer.special_token_embedding.weight, std=config.initializer_range)
        layer.special_token_dropout = nn.Dropout(config.hidden_dropout_prob)
        layer.register_forward_pre_hook(partial(_add, backbone))


def vectors_of(model: Any) -> list[nn.Parameter]:
    """The vectors of each layer: [slots, hidden] each."""
    return [layer.special_token_embedding.weight for layer in model.base_model.encoder.layer]


def train(model: Any, rows: Any, tokenizer: Any, recipe: Recipe, total: int) -> float:
    """Train for this number of steps with the authors' loop; returns the mean loss."""
    from transformers import DataCollatorWithPadding, get_linear_schedule_with_warmup

    loader = torch.utils.data.DataLoader(
        rows, shuffle=True, collate_fn=DataCollatorWithPadding(tokenizer), batch_size=recipe.batch_size
    )
    trained = [*vectors_of(model), *head_parameters(model)]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, round(recipe.warmup_ratio * total), total)
    losses: list[Tensor] = []
    model.train()
    while len(losses) < total:
        for batch in loader:
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
            if len(losses) == total:
                break
    return float(torch.stack(losses).mean())


def special_token_marks(input_ids: Tensor, special_ids: set[int]) -> Tensor:
    """Which token is which special token: [slots, batch, length], 1 at each slot's token and 0 elsewhere.

    input_ids: [batch, length].
    """
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
    hidden, *rest = args
    marks = backbone.special_token_marks
    for slot in range(len(marks)):
        vector = layer.special_token_embedding(torch.tensor([slot])).squeeze()
        marked = marks[slot].unsqueeze(-1).expand(-1, -1, hidden.shape[-1])
        hidden = hidden + layer.special_token_dropout(vector * marked)
    return (hidden, *rest)
