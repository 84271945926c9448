"""References, paths and the digest of their content, and the cache."""

import os
from pathlib import Path

import pytest
from local_index import SHA

from bench.errors import SourceError
from bench.sources.digest import tree_digest
from bench.sources.references import HubRef, PackageRef, PathRef, parse
from bench.sources.resolve import Resolved, cache_dir, resolve

LONG = "a" * 5000


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        (f"package:Demo_Pkg==1.0!/a/b.txt#sha256={SHA.upper()}", PackageRef("demo-pkg", "1.0", "a/b.txt", SHA)),
        (f"package:x==1!2.0+cpu!/folder/#sha256={SHA}", PackageRef("x", "1!2.0+cpu", "folder", SHA)),
        ("hub:owner/name.x@main", HubRef("owner/name.x", "model", "main")),
        ("hub:datasets/eriktks/conll2003@refs/convert/parquet!/conll2003",
         HubRef("eriktks/conll2003", "dataset", "refs/convert/parquet", "conll2003")),
        ("hub:owner/name.x", HubRef("owner/name.x", "model", None)),
        ("hub:datasets/owner/name!/part", HubRef("owner/name", "dataset", None, "part")),
        ("./not-there", PathRef(Path("not-there"))),
        ("~/models", PathRef(Path("~/models"))),
        ("/models", PathRef(Path("/models"))),
    ],
)  # fmt: skip
def test_parse(ref: str, expected: object) -> None:
    assert parse(ref) == expected


@pytest.mark.parametrize("ref", ["bert-base-uncased", "", LONG])
def test_a_name_that_is_no_path_gets_all_forms_listed(ref: str) -> None:
    with pytest.raises(SourceError, match="neither") as caught:
        parse(ref)
    assert all(form in str(caught.value) for form in ("package:NAME==VERSION", "hub:OWNER/NAME", "./folder"))


PACKAGES = (
    "x!/a", "x>=1!/a", "../x==1!/a", "x==1/../..!/a", "x==*!/a", "x==1", "x==1!/", "x==1!/a/../b", "x==1!//etc/passwd",
    "x==1!/a\\b", "x==1!/a\0b", "x==1!/a\nb", "x==1!/\x1b", f"{'x' * 97}==1!/a", f"x==1{'.0' * 99}!/a",
    f"x==1!/{'a' * 256}", f"x==1!/{'a/' * 500}b",
)  # fmt: skip
HUB = (
    "name", "owner/", "owner/name@", "name@main", "datasets/name", "datasets/name@main", "../name@main",
    "owner/..@main", "spaces/owner/name@main", "owner/name@../main", "owner/name@a b", "owner/name@main!/",
    "owner/name@main!/../..", f"owner/{'x' * 97}@main", f"owner/name@main!/{LONG}",
)  # fmt: skip


@pytest.mark.parametrize(
    "ref",
    ["package:x==1!/a", "package:x==1!/a#sha256=abc", *(f"package:{rest}#sha256={SHA}" for rest in PACKAGES),
     *(f"hub:{rest}" for rest in HUB)],
)  # fmt: skip
def test_malformed_references_are_refused_with_the_right_form(ref: str) -> None:
    with pytest.raises(SourceError, match="is malformed; write") as caught:
        parse(ref)
    form = "package:NAME==VERSION!/path/inside#sha256=HEX" if ref.startswith("package") else "hub:OWNER/NAME[@REVISION]"
    assert form in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_cache_is_where_it_is_configured(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == cache
    monkeypatch.delenv("BENCH_CACHE")
    assert "pasta-bench" in str(cache_dir())


# Paths


def test_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = resolve("~/model")
    assert found == Resolved(tmp_path / "model", tree_digest(tmp_path / "model"))
    monkeypatch.chdir(tmp_path)
    assert resolve("./model") == resolve("model") == found  # a bare name that exists is a path
    assert resolve("./model/config.json").path.read_text() == "{}"


def write_tree(root: Path, **files: str) -> str:
    """Write files (two underscores for a slash) below a folder; returns its digest."""
    for file, content in files.items():
        path = root / file.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tree_digest(root)


def test_the_tree_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    first = write_tree(tmp_path / "first", a="1", sub__b="2")
    assert first == "tree-sha256:b425bf4eb440f08800a5e2451f4b1edcb645e389bfac4bdbed9bed974c10686a"  # as in records
    same = tmp_path / "same"
    assert write_tree(same, sub__b="2", a="1") == first
    others = [
        {"a": "1", "sub__b": "3"}, {"a": "1", "sub__c": "2"}, {"a": "1", "b": "2"}, {"a": "12", "sub__b": ""},
        {"a": "1", "sub__b": "2", "c": ""},
    ]  # fmt: skip
    assert len({first, *(write_tree(tmp_path / str(at), **files) for at, files in enumerate(others))}) == 6
    (same / "empty").mkdir()
    assert write_tree(same, **{".cache__x": "hidden"}) == first
    (same / "folder").symlink_to("sub")
    assert tree_digest(same) == first  # files behind a link to a folder count once
    (same / "file").symlink_to("sub/b")
    assert tree_digest(same) != first


def test_the_tree_digest_of_one_file(tmp_path: Path) -> None:
    write_tree(tmp_path, a="1", b="1")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    assert tree_digest(tmp_path / "a") != tree_digest(tmp_path / "b")
    assert tree_digest(tmp_path / "a") == tree_digest(tmp_path / "c")


@pytest.mark.parametrize(
    ("target", "reason"),
    [("../secret", "links to outside"), ("..", "links to outside"), ("/etc/passwd", "links to outside"),
     ("nowhere", "not a plain file"), ("odd", "Cannot read|not a plain file"), (None, "not a plain file")],
)  # fmt: skip
def test_the_tree_digest_refuses_links_and_pipes(tmp_path: Path, target: str | None, reason: str) -> None:
    write_tree(tmp_path, secret="s", tree__a="1")
    odd = tmp_path / "tree" / "odd"
    odd.symlink_to(target) if target else os.mkfifo(odd)
    with pytest.raises(SourceError, match=reason):
        tree_digest(tmp_path / "tree")


def test_a_folder_of_the_hubs_cache_links_to_its_own_blobs_alone(tmp_path: Path) -> None:
    """And has the digest of the same files without links."""
    repository = tmp_path / "models--someone--encoder"
    write_tree(repository / "blobs", one="1", two="2")
    write_tree(tmp_path / "models--other--encoder" / "blobs", three="3")
    commit = repository / "snapshots" / "0123abc"
    commit.mkdir(parents=True)
    (commit / "a").symlink_to("../../blobs/one")
    (commit / "b").symlink_to("../../blobs/two")
    assert tree_digest(commit) == write_tree(tmp_path / "plain", a="1", b="2")
    (commit / "c").symlink_to("../../../models--other--encoder/blobs/three")
    with pytest.raises(SourceError, match="links to outside"):
        tree_digest(commit)
    (commit / "c").unlink()
    with pytest.raises(SourceError, match="links to outside"):
        tree_digest(repository.rename(tmp_path / "elsewhere") / "snapshots" / "0123abc")


def test_the_tree_digest_refuses_an_empty_folder_and_a_device(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="contains no files"):
        tree_digest(tmp_path)
    with pytest.raises(SourceError, match="neither a plain file nor a folder"):
        tree_digest(Path("/dev/zero"))
