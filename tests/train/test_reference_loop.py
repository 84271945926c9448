"""A whole training against a plain loop of torch and transformers alone."""

from typing import Any

import pytest
import tiny as tiny_bert
import torch
from transformers import get_linear_schedule_with_warmup

from bench.grid import seeds
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train import loop
from bench.train.adaptation import Adapted
from bench.train.batches import epoch_batches


def plain_loop(adapted: Adapted, kind: str, recipe: Any, steps: int, seed: int, tokenizer: Any) -> list[float]:
    """The same training with torch and transformers alone: the tokenizer pads, the model computes its own loss."""
    examples = tiny_bert.examples(kind)
    task = tiny_bert.task(kind)
    head = {id(p) for p in adapted.head}
    trained = [p for p in adapted.module.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p],
            "lr": (recipe.head_learning_rate or recipe.learning_rate) if id(p) in head else recipe.learning_rate,
            "weight_decay": recipe.weight_decay if p.dim() == 2 else 0.0,  # PASTA's vectors have three
        }
        for p in trained
    ]
    optimizer = torch.optim.AdamW(groups, eps=recipe.adam_epsilon, foreach=False, fused=False)
    warmup = round(recipe.warmup_ratio * steps)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps + 1)
    if warmup:
        optimizer.step()
        schedule.step()
    words = task.kind == "token-classification"
    encoded = tokenizer(
        [list(e.text) if words else e.text for e in examples],
        [e.pair for e in examples] if task.pair else None,
        is_split_into_words=words,
        truncation=True,
        max_length=task.max_length,
    )
    losses: list[float] = []
    adapted.module.train()
    torch.manual_seed(1)
    epoch = 0
    while len(losses) < steps:
        for indices in epoch_batches(len(examples), recipe.batch_size, seeds.derive(seed, "epoch", epoch)):
            rows = [{key: encoded[key][i] for key in encoded} for i in indices]
            inputs = tokenizer.pad(rows, return_tensors="pt")
            if words:
                labels = torch.full(inputs["input_ids"].shape, -100)
                for row, i in enumerate(indices):
                    ids = encoded.word_ids(int(i))
                    for at, word in enumerate(ids):
                        if word is not None and word not in ids[:at]:
                            labels[row, at] = examples[i].label[word]
            elif kind == "multi-label":  # as floats: transformers then takes binary cross entropy
                labels = torch.tensor([[float(label in examples[i].label) for label in range(3)] for i in indices])
            else:
                labels = torch.tensor([examples[i].label for i in indices])
            loss = adapted.module(**inputs, labels=labels).loss
            loss.backward()
            if recipe.max_grad_norm:
                norm = torch.stack([p.grad.pow(2).sum() for p in trained]).sum().sqrt()
                for p in trained:
                    p.grad *= min(1.0, recipe.max_grad_norm / (float(norm) + 1e-6))
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if len(losses) == steps:
                break
        epoch += 1
    return losses


@pytest.mark.parametrize("kind", tiny_bert.KINDS)
@pytest.mark.parametrize(
    ("spec", "changes"),
    [
        ("pasta", {"learning_rate": 3e-2, "head_learning_rate": 1e-3, "warmup_ratio": 0.0, "weight_decay": 0.1}),
        ("lora", {"learning_rate": 1e-3, "weight_decay": 0.1, "warmup_ratio": 1.0, "max_grad_norm": None}),
        ("full", {"learning_rate": 1e-4, "weight_decay": 0.01, "max_grad_norm": 0.5, "warmup_ratio": 0.3}),
    ],
)
def test_a_training_is_that_of_a_plain_loop(tiny: Any, kind: str, spec: str, changes: dict[str, Any]) -> None:
    """Batches are too small here to be cut into parts."""
    # Batches of 5, 5 and 2; 8 steps. With a small epsilon Adam enlarges the rounding of gradients near zero.
    recipe = tiny_bert.recipe(epochs=2.6, batch_size=5, adam_epsilon=1e-3, **changes)
    method = build_method(registry.methods(), parse(spec))
    mine, other = (tiny.adapted(method, kind) for _ in range(2))
    torch.manual_seed(1)
    trained = loop.train(mine, tiny.data(kind), recipe, tiny_bert.profile(), 7)
    losses = plain_loop(other, kind, recipe, 8, 7, tiny.tokenizer)
    assert trained.losses == pytest.approx(losses, abs=5e-6)
    assert max(losses) > 0.1
    theirs = dict(other.module.named_parameters())
    for name, parameter in mine.module.named_parameters():
        # A key's bias shifts all scores of a row alike, so its gradient is rounding noise, which Adam enlarges.
        tolerance = 1e-3 if name.endswith("key.bias") else 2e-6
        assert torch.allclose(parameter, theirs[name], rtol=0, atol=tolerance), name
