"""What papers claim: sourced, about tasks that there are, and kept apart from what is measured."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from made import record
from pydantic import ValidationError

from bench import leaderboard
from bench.cli.leaderboard import leaderboard as show
from bench.grid import claims
from bench.grid.claims import Claims
from bench.plugins import registry
from bench.records.store import Store

BERT_LARGE = 335_143_938  # with a head of two classes; counted below
ROWS = tomllib.loads(files("bench.grid").joinpath("claims.toml").read_text(encoding="utf-8"))


def test_every_claim_is_sourced_and_about_a_task_that_there_is() -> None:
    tasks = registry.tasks().names()
    found = claims.load()
    assert found.claims
    for name, claim in found.claims.items():
        for pattern in claim.tasks:
            assert any(claim.model_copy(update={"tasks": (pattern,)}).concerns(task) for task in tasks), (name, pattern)
        assert all(address.startswith("https://") for address in claim.read_at)
        assert claim.where
        assert str(found.papers[claim.paper]).endswith(f"arXiv {found.papers[claim.paper].arxiv}")
        numbers = [n for n in (claim.share_percent, claim.difference and 100 * claim.difference) if n is not None]
        assert all(f"{number:.3g}" in claim.quote for number in numbers), name  # a number stands in the words quoted


def test_the_claimed_share_is_the_formulas() -> None:
    """Vectors are slots * layers * width; on BERT-large 2, 3 and 4 slots are 0.015, 0.022 and 0.029 %."""
    shares = {slots: round(100 * slots * 24 * 1024 / BERT_LARGE, 3) for slots in range(1, 6)}
    assert [shares[slots] for slots in (2, 3, 4)] == [0.015, 0.022, 0.029]
    claimed = {name: claim.share_percent for name, claim in claims.load().claims.items() if claim.share_percent}
    fitting = {name: [slots for slots, own in shares.items() if own == share] for name, share in claimed.items()}
    assert fitting == {"pasta-share": [4], "pasta-ablation": []}  # the second is a puzzle; claims.toml says so


def test_the_size_of_bert_large() -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
    with torch.device("meta"):
        model = BertForSequenceClassification(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == BERT_LARGE


def test_claims_are_found_by_task() -> None:
    found = claims.load()
    assert set(found.about(["conll2003"])) == {"pasta-share", "pasta-conll2003", "pasta-ablation"}
    assert set(found.about(["glue-mnli/mismatched"])) == {"pasta-share", "pasta-glue", "pasta-ablation"}
    assert set(found.about(["sms-spam", "conll2003", "glue-rte"])) == set(found.claims)
    assert found.about(["sms-spam", "us-address/messiest", "glue"]) == found.about([]) == {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"paper": "paste"}, "the claim pasta-glue names a paper that is not listed: paste"),
        ({"score": 89.3}, "less than or equal to 1"),  # a score is from 0 to 1, as measured ones are
        ({"share_percent": 0}, "greater than 0"),
        ({"read_at": []}, "at least 1 item"),
        ({"quote": ""}, "at least 1 character"),
        ({"tasks": []}, "at least 1 item"),
        ({"accuracy": 0.9}, "Extra inputs are not permitted"),
    ],
)
def test_a_claim_of_another_shape_is_refused(change: dict[str, Any], fault: str) -> None:
    rows = {**ROWS, "claims": {"pasta-glue": {**ROWS["claims"]["pasta-glue"], **change}}}
    with pytest.raises(ValidationError, match=fault):
        Claims(**rows)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    for task in ("glue-mnli", "sms-spam"):
        store.write(record("pasta", of={"task": task}))
    return tmp_path


def test_they_stand_below_the_leaderboard_and_nowhere_else(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show([results])
    measured, heading, claimed = capsys.readouterr().out.partition("Claimed by papers, not measured here:")
    assert heading
    assert "sms-spam" in measured
    assert "EACL 2023" not in measured
    assert "on par with full fine-tuning and BitFit" in claimed
    assert "0.029" in claimed
    assert "P-tuning v2" not in claimed  # what is about another task alone is left out
    board = results / "board.csv"
    for per_cell in (False, True):
        show([results], out=board, per_cell=per_cell, as_json=True)
        make = leaderboard.per_cell if per_cell else leaderboard.aggregated
        assert board.read_text() == leaderboard.to_csv(make(Store(results).all()[0]))
        assert "EACL" not in board.read_text() + capsys.readouterr().out
    show([results], per_cell=True)
    assert "EACL" not in capsys.readouterr().out


def test_without_a_task_that_a_paper_speaks_of_there_is_no_second_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(tmp_path).write(record("pasta"))
    show([tmp_path])
    shown = capsys.readouterr().out
    assert "matthews" in shown
    assert "Claimed" not in shown
