"""Paths, and the digest of what lies there."""

from pathlib import Path

import pytest

from bench.errors import SourceError
from bench.sources.digest import tree_digest
from bench.sources.resolve import Resolved, resolve


def test_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = resolve("~/model")
    assert found == Resolved(tmp_path / "model", tree_digest(tmp_path / "model"))
    monkeypatch.chdir(tmp_path)
    assert resolve("./model") == resolve("model") == found
    assert resolve("./model/config.json").path.read_text() == "{}"
    with pytest.raises(SourceError, match="no file or folder"):
        resolve("./absent")


def test_the_tree_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    def tree(name: str, **files: str) -> str:
        for file, content in files.items():
            path = tmp_path / name / file.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tree_digest(tmp_path / name)

    first = tree("first", a="1", sub__b="2")
    assert first.startswith("tree-sha256:")
    assert tree("same", sub__b="2", a="1") == first
    assert tree("content", a="1", sub__b="3") != first
    assert tree("name", a="1", sub__c="2") != first
    assert tree("moved", a="1", b="2") != first
    assert tree("border", a="12", sub__b="") != first
    (tmp_path / "same" / ".cache").mkdir()
    (tmp_path / "same" / ".cache" / "x").write_text("hidden")
    (tmp_path / "same" / "empty").mkdir()
    assert tree("same") == first


def test_the_tree_digest_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    assert tree_digest(tmp_path / "a") != tree_digest(tmp_path / "b")
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "c")


def test_the_tree_digest_refuses_what_it_cannot_vouch_for(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with pytest.raises(SourceError, match="contains no files"):
        tree_digest(tree)
    (tree / "a").write_text("1")
    (tree / "inside").symlink_to("a")
    assert tree_digest(tree)
    (tmp_path / "secret").write_text("s")
    (tree / "outside").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError, match="links to outside"):
        tree_digest(tree)
    (tree / "outside").unlink()
    (tree / "folder").symlink_to(tmp_path)
    with pytest.raises(SourceError, match="links to outside"):
        tree_digest(tree)
    (tree / "folder").unlink()
    (tree / "broken").symlink_to("nowhere")
    with pytest.raises(SourceError, match="not a plain file"):
        tree_digest(tree)
