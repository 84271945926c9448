"""Which model a name stands for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.grid import models
from bench.sources.digest import tree_digest
from bench.sources.references import HubRef, PackageRef, parse


def test_named_models_are_pinned_where_the_commit_is_known() -> None:
    """Those of the hub by commit: a branch or a tag may move. Without a revision the hub is asked."""
    found = {name: parse(model.source) for name, model in models.named().items()}
    assert isinstance(found["minilm-l6"], PackageRef)
    hub = {name: ref for name, ref in found.items() if isinstance(ref, HubRef)}
    assert len(hub) == len(found) - 1
    assert {name for name, ref in hub.items() if ref.revision is None} == {"electra-base", "deberta-v3-base"}
    assert all(ref.revision is None or re.fullmatch(r"[0-9a-f]{40}", ref.revision) for ref in hub.values())
    assert all(ref.kind == "model" for ref in hub.values())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # of the encoder with its pooler, where it has one, as published
        ("minilm-l6", 22_713_216),
        ("minilm-l12", 33_360_000),
        ("bert-base-uncased", 109_482_240),
        ("bert-base-cased", 108_310_272),
        ("bert-large-uncased", 335_141_888),
        ("electra-base", 108_891_648),
        ("distilbert-base-uncased", 66_362_880),
        ("roberta-base", 124_645_632),
        ("roberta-large", 355_359_744),
        ("xlm-roberta-base", 278_043_648),
        ("deberta-v3-base", 183_831_552),
        ("modernbert-base", 149_014_272),
    ],
)
def test_a_named_models_configuration_gives_its_published_number_of_parameters(name: str, parameters: int) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    shape = models.find(name).shape
    assert shape is not None
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(**shape.config))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    special = {getattr(model.config, f"{token}_token_id", None) for token in ("bos", "cls", "eos", "sep")} - {None}
    if special:  # where the configuration says which tokens these are
        assert {*shape.single, *shape.pair} == special


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


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("google-bert/bert-base-uncased", "bert-base-uncased"),
        ("FacebookAI/roberta-base", "roberta-base"),
        ("microsoft/deberta-v3-base", "deberta-v3-base"),
        ("answerdotai/ModernBERT-base", "modernbert-base"),
        ("ModernBERT-base", "modernbert-base"),
        ("electra-base-discriminator", "electra-base"),
        ("sentence-transformers/all-MiniLM-L6-v2", "minilm-l6"),
    ],
)
def test_a_repositorys_own_name_is_the_model(
    written: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert models.find(written) is models.named()[name]
    Path(written).mkdir(parents=True)  # a folder of that name is meant where there is one
    assert models.find(written).source == written


def test_a_wrong_name_gets_the_nearest_right_one() -> None:
    nearest = {
        "bert-base-uncasd": "bert-base-uncased",
        "google-bert/bert-base-case": "google-bert/bert-base-cased",
        "distilbert": "distilbert-base-uncased",
        "roberta_base": "roberta-base",
    }
    for wrong, right in nearest.items():
        with pytest.raises(UsageError, match=f"did you mean '{right}'"):
            models.find(wrong)
    with pytest.raises(UsageError, match=r"^There is no model 'minilm'; did you mean 'minilm-l6'\? .*hub:OWNER/NAME"):
        models.find("minilm")


COMMIT, OTHER, TREE = "0123456789" * 4, "9876543210" * 4, "tree-sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("source", "revision", "name", "recorded"),
    [
        # A reference of the hub goes by the commit that it stood for, however it was written.
        ("hub:a/b", f"commit:{COMMIT}", f"hub:a/b@{COMMIT}", f"hub:a/b@{COMMIT}"),
        ("hub:a/b@main!/part", f"commit:{COMMIT}", f"hub:a/b@{COMMIT}!/part", f"hub:a/b@{COMMIT}!/part"),
        (f"hub:a/b@{COMMIT}", f"commit:{COMMIT}", f"hub:a/b@{COMMIT}", f"hub:a/b@{COMMIT}"),
        # What a mirror has instead is known by its content alone.
        ("hub:a/b", TREE, "hub:a/b@abababab", "hub:a/b"),
        ("package:a==1!/b#sha256=" + "0" * 64, "sha256:" + "0" * 64, None, None),
    ],
)
def test_a_reference_that_was_found_is_recorded_by_its_commit(
    source: str, revision: str, name: str | None, recorded: str | None
) -> None:
    expected = models.Model(name or source, recorded or source, "")
    assert models.resolved(models.find(source), revision) == expected


def test_a_name_that_says_too_little_gets_the_digits_of_what_was_found() -> None:
    pinned, free = (models.Model("bert", f"hub:a/b{at}", "") for at in (f"@{COMMIT}", ""))
    assert models.resolved(pinned, f"commit:{COMMIT}") == pinned
    assert models.resolved(pinned, TREE).name == "bert@abababab"
    for commit, digits in ((COMMIT, "01234567"), (OTHER, "98765432")):
        assert models.resolved(free, f"commit:{commit}") == models.Model(f"bert@{digits}", f"hub:a/b@{commit}", "")


def test_two_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for at in ("1", "2", "3"):
        folder = tmp_path / f"ckpt-{at}" / "model"
        folder.mkdir(parents=True)
        (folder / "weights").write_text("other" if at == "3" else "same")
    found = [str(tmp_path / f"ckpt-{at}" / "model") for at in (1, 2, 3)]
    one, copy, other = (models.resolved(models.find(each), tree_digest(Path(each))) for each in found)
    assert one.name == copy.name != other.name
    assert re.fullmatch(r"model@[0-9a-f]{8}", one.name)
    assert re.fullmatch(r"model@[0-9a-f]{8}", other.name)
