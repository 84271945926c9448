"""Packages from a real local index: downloads, and failures of network and disk."""

import errno
import os
from pathlib import Path

import pytest
from local_index import SDIST, SHA, WHEEL, Index, extracted, fails, make_wheel, serve, sha256

from bench.errors import SourceError
from bench.sources import package_index
from bench.sources.resolve import resolve


def test_a_file_of_a_wheel(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json")
    seen: list[tuple[int, int | None]] = []
    found = resolve(ref, on_progress=lambda done, total: seen.append((done, total)))
    assert found.path.name == "model.json"
    assert found.path.read_bytes() == b"{}"
    assert found.revision == "sha256:" + ref[-64:]
    assert seen[-1] == (len(index.files[WHEEL]), len(index.files[WHEEL]))
    assert len(extracted(cache)) == 1


def test_a_folder_and_then_a_file_of_one_wheel_take_one_download(index: Index, cache: Path) -> None:
    folder = resolve(serve(index, "demo/data")).path
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.txt")} == {"a.txt", "deep/b.txt"}
    assert (folder / "deep/b.txt").read_bytes() == b"second"
    resolve(serve(index, "demo/model.json"))
    assert index.downloads() == 1


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("name", [WHEEL, SDIST])
def test_the_hash_chooses_between_wheel_and_sdist(index: Index, cache: Path, name: str, hashes: bool) -> None:
    refs = {each: serve(index, "sub/a.txt", [("sub/a.txt", each.encode())], each) for each in (WHEEL, SDIST)}
    index.hashes = hashes
    assert resolve(refs[name]).path.read_bytes() == name.encode()  # without the sdist's top folder
    assert index.downloads() == 1 or not hashes


def test_a_second_resolve_needs_no_index(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = serve(index, "demo/data")
    first = resolve(ref)
    index.stop()
    assert resolve(ref) == first
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert resolve(ref) == first
    with pytest.raises(SourceError):  # a pin that differs only at its end
        resolve(ref[:-1] + ("0" if ref[-1] != "0" else "1"))


def test_a_damaged_archive_in_the_cache_is_downloaded_again(index: Index, cache: Path) -> None:
    resolve(serve(index, "demo/model.json"))
    next(cache.glob("archives/*")).write_bytes(b"rot")
    assert resolve(serve(index, "demo/data/a.txt")).path.read_bytes() == b"first"
    assert index.downloads() == 2


def test_offline_opens_no_connection(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    fails(cache, serve(index, "demo/model.json"), "unset BENCH_OFFLINE")
    assert index.requested == []


def test_a_folder_that_pip_is_pointed_to(
    index: Index, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = serve(index, "demo/model.json")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / WHEEL).write_bytes(index.files[WHEEL])
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path / 'not-there'} {tmp_path / 'wheels'}")
    monkeypatch.setenv("BENCH_OFFLINE", "1")  # a folder is no connection
    assert resolve(ref).path.read_bytes() == b"{}"
    (tmp_path / "wheels" / WHEEL).write_bytes(b"changed")
    monkeypatch.delenv("BENCH_OFFLINE")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SourceError, match=sha256(b"changed")):
        resolve(ref.replace("model.json", "data"))
    assert (tmp_path / "wheels" / WHEEL).read_bytes() == b"changed"  # it is not ours to remove
    assert index.requested == []


def test_a_redirect_is_followed(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = serve(index, "demo/model.json")
    page = index.page().replace("/files/", "/moved/")
    monkeypatch.setattr(index, "page", lambda: page)
    assert resolve(ref)


def test_pips_own_configuration_is_read(
    index: Index, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = serve(index, "demo/model.json")
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = http://127.0.0.1:1/simple\nextra-index-url =\n    {index.url}\n")
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    for name in os.environ:
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert package_index._pip_settings()["index-url"] == "http://127.0.0.1:1/simple"
    assert resolve(ref).path.read_bytes() == b"{}"  # found in the second index though the first is down


def test_another_hash_than_the_pinned_one(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json")
    wrong = ref[:-64] + SHA
    fails(cache, wrong, SHA, ref[-64:])
    assert index.downloads() == 0  # the index lists the hash
    index.hashes = False
    fails(cache, wrong, SHA, ref[-64:])


def test_an_index_that_serves_something_else_than_it_says(
    index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = serve(index, "demo/model.json")
    page = index.page()
    monkeypatch.setattr(index, "page", lambda: page)
    index.files[WHEEL] = make_wheel([("demo/model.json", b"tampered")])
    fails(cache, ref, ref[-64:], sha256(index.files[WHEEL]))


def test_a_download_that_is_cut_short(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json")
    index.cut = 20
    fails(cache, ref, "cannot be downloaded")
    index.cut = 0
    assert resolve(ref)


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:1/simple")
    what_to_do = ("check the reference and the connection", "python -m bench fetch", "find-links")
    ref = f"package:demo-pkg==1.0!/a#sha256={SHA}"
    assert "secret" not in fails(cache, ref, "demo-pkg==1.0", "127.0.0.1:1/simple cannot be reached", *what_to_do)


@pytest.mark.parametrize(("place", "reason"), [("http://user:secret@127.0.0.1:1/", "refused"), ("/gone/", "404")])
def test_a_password_in_an_index_url_stays_secret(
    index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch, place: str, reason: str
) -> None:
    ref = serve(index, "demo/model.json")
    page = index.page().replace("/files/", place)
    monkeypatch.setattr(index, "page", lambda: page)
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("http://", "http://user:secret@"))
    index.files.clear()
    assert "secret" not in fails(cache, ref, "cannot be downloaded", reason)


def test_a_version_or_package_that_is_not_there(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json")
    fails(cache, ref.replace("==1.0", "==2.0"), "no file of that version")
    fails(cache, ref.replace("demo.pkg", "other"), "404")


@pytest.mark.parametrize("where", ["download", "extraction"])
def test_a_full_disk(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    ref = serve(index, "demo/data")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("unearth.preparer.HashValidator.update" if where == "download" else "os.fsync", full)
        fails(cache, ref, "No space left on device", f"Cannot write in {cache}", "BENCH_CACHE")
    assert resolve(ref)


def test_a_cache_that_cannot_be_made(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SourceError, match=r"Cannot write in .*BENCH_CACHE"):
        resolve(serve(index, "demo/data"))
