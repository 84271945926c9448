"""Which model a name stands for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.grid import models
from bench.sources.references import HubRef, PackageRef, parse


def test_every_named_model_is_pinned() -> None:
    """Those of the hub by commit: a branch or a tag may move."""
    found = {name: parse(model.source) for name, model in models.named().items()}
    assert isinstance(found["minilm-l6"], PackageRef)
    hub = [ref for ref in found.values() if isinstance(ref, HubRef)]
    assert {ref.repo for ref in hub} >= {"google-bert/bert-large-cased", "FacebookAI/roberta-large"}
    assert all(re.fullmatch(r"[0-9a-f]{40}", ref.revision) and ref.kind == "model" for ref in hub)
    assert all(isinstance(ref, PackageRef | HubRef) for ref in found.values())


def test_a_name_is_its_model_and_a_pinned_reference_goes_by_itself() -> None:
    assert models.find("minilm-l6") is models.named()["minilm-l6"]
    for reference in ("hub:a/b@main", "package:a==1!/b#sha256=" + "0" * 64):
        assert models.find(reference) == models.Model(reference, reference, "")


def test_a_folder_goes_by_its_last_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my-bert").mkdir()
    monkeypatch.chdir(tmp_path)
    for written in ("my-bert", "./my-bert", "./my-bert/", str(tmp_path / "my-bert"), "./x/../my-bert"):
        assert models.find(written) == models.Model("my-bert", written, "")
    monkeypatch.chdir(tmp_path / "my-bert")
    assert models.find(".") == models.Model("my-bert", ".", "")
    assert models.find("./not-there-yet").name == "not-there-yet"  # sources says that it is missing


def test_a_wrong_name_gets_the_nearest_right_one() -> None:
    with pytest.raises(UsageError, match=r"^There is no model 'minilm'; did you mean 'minilm-l6'\? .*hub:OWNER/NAME"):
        models.find("minilm")
