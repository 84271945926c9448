"""Paths, and the digest of their content."""

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
    assert first == "tree-sha256:b425bf4eb440f08800a5e2451f4b1edcb645e389bfac4bdbed9bed974c10686a"  # stands in records
    assert tree("same", sub__b="2", a="1") == first
    changed = [
        tree("content", a="1", sub__b="3"), tree("name", a="1", sub__c="2"), tree("moved", a="1", b="2"),
        tree("border", a="12", sub__b=""), tree("more", a="1", sub__b="2", c=""),
    ]  # fmt: skip
    assert len({first, *changed}) == 6
    tree("same", **{".cache__x": "hidden"})
    (tmp_path / "same" / "empty").mkdir()
    assert tree("same") == first


def test_the_tree_digest_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    assert tree_digest(tmp_path / "a") != tree_digest(tmp_path / "b")
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "c")


def test_the_tree_digest_counts_files_behind_links_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("1")
    before = tree_digest(tmp_path)
    (tmp_path / "folder").symlink_to("sub")
    assert tree_digest(tmp_path) == before
    (tmp_path / "file").symlink_to("sub/a")
    assert tree_digest(tmp_path) != before


@pytest.mark.parametrize(
    ("target", "reason"),
    [(None, "contains no files"), ("../secret", "links to outside"), ("..", "links to outside"),
     ("nowhere", "not a plain file"), ("link", "Cannot read|not a plain file")],
)  # fmt: skip
def test_the_tree_digest_refuses_what_it_cannot_read(tmp_path: Path, target: str | None, reason: str) -> None:
    (tmp_path / "secret").write_text("s")
    tree = tmp_path / "tree"
    tree.mkdir()
    if target:
        (tree / "a").write_text("1")
        (tree / "link").symlink_to(target)
    with pytest.raises(SourceError, match=reason):
        tree_digest(tree)
