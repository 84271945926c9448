"""Trainings for test_distributed.py, by one process or by several: `python distributed_cases.py RANK SIZE PORT OUT`."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import tiny as tiny_bert
import torch
from tiny_encoders import without_dropout

from bench.check.encoder import Encoder
from bench.measure.time import Timeline
from bench.plugins import registry
from bench.plugins.specs import build_method, parse
from bench.train import loop
from bench.train.distributed import HOST, Ranks, Team
from bench.train.loop import Placement


class Case(NamedTuple):
    """11 examples in batches of 5 are shares of 3 and 2, and a last batch of one, of which rank 1 has nothing."""

    method: str
    kind: str
    micro_batch: int = 32
    max_grad_norm: float | None = None
    examples: int = 11


CASES = (
    Case("pasta[dropout=0]", "classification"),
    Case("pasta[dropout=0]", "pair", micro_batch=1),
    Case("lora", "token-classification", max_grad_norm=0.1),
    Case("lora", "regression"),
    Case("full", "token-classification", micro_batch=1),
    Case("full", "classification"),
    Case("head", "classification", examples=10),
)


def train(case: Case, team: Team) -> dict[str, Any]:
    """Two epochs of a case: the loss of every step, what was trained, and the trained model's logits."""
    torch.set_num_threads(1)
    encoder = Encoder.random()
    method = build_method(registry.methods(), parse(case.method))
    adapted = encoder.adapted(method, case.kind)
    without_dropout(adapted.module)
    recipe = tiny_bert.recipe(epochs=2, batch_size=5, max_grad_norm=case.max_grad_norm)
    placement = Placement(micro_batch=case.micro_batch, team=team)
    done = loop.train(
        team.prepare(adapted.module, "cpu"),
        encoder.data(case.kind, case.examples),
        recipe,
        placement,
        seed=7,
        head=adapted.head,
        timeline=Timeline(),
        report=lambda progress: None,
    )
    trained = {name: p.detach() for name, p in adapted.module.named_parameters() if p.requires_grad}
    adapted.module.eval()
    return {
        "losses": done.losses,
        "trained": trained,
        "logits": tiny_bert.logits(adapted.module, encoder.data(case.kind)),
    }


def main() -> None:
    rank, size, port = (int(argument) for argument in sys.argv[1:4])
    store = torch.distributed.TCPStore(HOST, port, is_master=rank == 0, wait_for_workers=False)
    found = []
    for at, case in enumerate(CASES):
        with Ranks(rank, size, torch.distributed.PrefixStore(str(at), store), []) as ranks:
            if rank == 0:
                ranks._store.set("go", "")
            found.append(train(case, ranks))
            torch.distributed.barrier()
    torch.save(found, sys.argv[4])


if __name__ == "__main__":
    main()
