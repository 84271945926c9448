"""Packages from a real local index: downloads, and failures of network, disk and processes."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local_index import SDIST, SHA, WHEEL, Index, extracted, fails, make_wheel, serve, sha256

from bench.errors import SourceError
from bench.sources import package_index
from bench.sources.resolve import resolve


def test_a_file_of_a_wheel(index: Index) -> None:
    ref = serve(index, "demo/model.json")
    seen: list[tuple[int, int | None]] = []
    found = resolve(ref, on_progress=lambda done, total: seen.append((done, total)))
    assert found.path.name == "model.json"
    assert found.path.read_bytes() == b"{}"
    assert found.revision == "sha256:" + ref[-64:]
    assert seen[-1] == (len(index.files[WHEEL]), len(index.files[WHEEL]))
    assert len(extracted()) == 1


def test_an_archive_is_downloaded_once_and_then_needs_no_index(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = serve(index, "demo/data")
    first = resolve(ref)
    assert {str(path.relative_to(first.path)) for path in first.path.rglob("*.txt")} == {"a.txt", "deep/b.txt"}
    assert (first.path / "deep/b.txt").read_bytes() == b"second"
    index.stop()
    assert resolve(ref.replace("data", "model.json")).path.read_bytes() == b"{}"
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert resolve(ref) == first
    with pytest.raises(SourceError):  # a pin that differs only at its end
        resolve(ref[:-1] + ("0" if ref[-1] != "0" else "1"))
    assert index.downloads() == 1


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("name", [WHEEL, SDIST])
def test_the_hash_chooses_between_wheel_and_sdist(index: Index, name: str, hashes: bool) -> None:
    refs = {each: serve(index, "sub/a.txt", [("sub/a.txt", each.encode())], each) for each in (WHEEL, SDIST)}
    if not hashes:
        index.hashes.clear()
    assert resolve(refs[name]).path.read_bytes() == name.encode()  # without the sdist's top folder
    assert index.downloads() == 1 or not hashes


def test_a_damaged_archive_in_the_cache_is_downloaded_again(index: Index, cache: Path) -> None:
    resolve(serve(index, "demo/model.json"))
    next(cache.glob("archives/*")).write_bytes(b"rot")
    index.links_to = "/moved/"  # a redirect is followed
    assert resolve(serve(index, "demo/data/a.txt")).path.read_bytes() == b"first"
    assert index.downloads() == 2


# pip's configuration


def test_offline_only_the_folders_of_pips_find_links_are_searched(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, wheel = serve(index, "demo/model.json"), tmp_path / WHEEL
    monkeypatch.setenv("BENCH_OFFLINE", "1")  # forbids connections; a folder needs none
    fails(ref, "unset BENCH_OFFLINE")
    wheel.write_bytes(index.files[WHEEL])
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path / 'not-there'} {tmp_path}")
    assert resolve(ref).path.read_bytes() == b"{}"
    wheel.write_bytes(b"changed")
    monkeypatch.delenv("BENCH_OFFLINE")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SourceError, match=sha256(b"changed")):
        resolve(ref.replace("model.json", "data"))
    assert wheel.read_bytes() == b"changed"  # the user's file is not removed
    assert index.requested == []


def test_pips_own_configuration_is_read(
    index: Index, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, config = serve(index, "demo/model.json"), tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = http://127.0.0.1:1/simple\nextra-index-url =\n    {index.url}\n")
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    for name in os.environ:
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert package_index._pip_settings()["index-url"] == "http://127.0.0.1:1/simple"
    assert resolve(ref).path.read_bytes() == b"{}"  # found in the second index though the first is down


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("TIMEOUT", "soon", "'soon'"), ("PROXY", "x:y", "proxy"), ("CERT", "/nowhere", "cert")],
)
def test_a_wrong_setting_of_pip(
    index: Index, monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"PIP_{name}", value)
    fails(serve(index, "demo/data"), "One of pip's settings cert, proxy and timeout is wrong", reason)


# Failures


def test_another_hash_than_the_pinned_one(index: Index) -> None:
    ref = serve(index, "demo/model.json")
    wrong = ref[:-64] + SHA
    fails(wrong, SHA, ref[-64:])
    assert index.downloads() == 0  # the index lists the hash
    index.hashes.clear()
    fails(wrong, SHA, ref[-64:])


def test_a_file_that_differs_from_its_listed_hash(index: Index) -> None:
    ref = serve(index, "demo/model.json")
    index.files[WHEEL] = make_wheel([("demo/model.json", b"tampered")])
    fails(ref, ref[-64:], sha256(index.files[WHEEL]))


def test_a_download_that_is_cut_short(index: Index) -> None:
    ref = serve(index, "demo/model.json")
    index.cut = 20
    fails(ref, "cannot be downloaded")
    index.cut = 0
    assert resolve(ref)


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:1/simple")
    what_to_do = ("check the reference and the connection", "python -m bench fetch", "find-links")
    ref = f"package:demo-pkg==1.0!/a#sha256={SHA}"
    assert "secret" not in fails(ref, "demo-pkg==1.0", "127.0.0.1:1/simple cannot be reached", *what_to_do)


@pytest.mark.parametrize(("place", "reason"), [("http://user:secret@127.0.0.1:1/", "refused"), ("/gone/", "404")])
def test_a_password_in_an_index_url_stays_secret(
    index: Index, monkeypatch: pytest.MonkeyPatch, place: str, reason: str
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("http://", "http://user:secret@"))
    index.links_to = place
    assert "secret" not in fails(serve(index, "demo/model.json"), "cannot be downloaded", reason)


def test_a_version_or_package_that_is_not_there(index: Index) -> None:
    ref = serve(index, "demo/model.json")
    fails(ref.replace("==1.0", "==2.0"), "no file of that version")
    fails(ref.replace("demo.pkg", "other"), "404")


@pytest.mark.parametrize("where", ["unearth.preparer.HashValidator.update", "os.fsync"])
def test_a_full_disk(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """While downloading and while extracting."""
    ref = serve(index, "demo/data")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(where, full)
        fails(ref, "No space left on device", f"Cannot write in {cache}", "BENCH_CACHE")
    assert resolve(ref)


# Other processes

CHILD = """
import sys, time, pathlib
from bench.sources import archives, resolve
def pause(*args):
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(float(sys.argv[3]))
"""
PAUSES = {  # where the child pauses, and what it has in the cache then
    "downloading": ("resolve.resolve(sys.argv[1], on_progress=pause)", "archives/.*.partial/*"),
    "extracting": ("archives.os.fsync = pause\nresolve.resolve(sys.argv[1])", "packages/*/.*.partial"),
}


def paused(ref: str, where: str, seconds: float, marker: Path) -> subprocess.Popen[bytes]:
    """A process that resolves a reference and has begun to pause there."""
    child = subprocess.Popen([sys.executable, "-c", CHILD + PAUSES[where][0], ref, str(marker), str(seconds)])
    deadline = time.monotonic() + 20
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert marker.exists()
    return child


def test_two_processes_at_once_make_one_download(index: Index, tmp_path: Path) -> None:
    ref = serve(index, "demo/data")
    child = paused(ref, "downloading", 0.2, tmp_path / "reached")
    assert (resolve(ref).path / "a.txt").read_bytes() == b"first"
    assert child.wait(20) == 0
    assert len(extracted()) == 2
    assert index.downloads() == 1


@pytest.mark.parametrize("where", PAUSES)
def test_a_killed_process_leaves_nothing_behind(index: Index, cache: Path, tmp_path: Path, where: str) -> None:
    ref, partial = serve(index, "demo/data"), PAUSES[where][1]
    child = paused(ref, where, 60, tmp_path / "reached")
    child.kill()
    child.wait()
    assert list(cache.glob(partial))  # something was under way
    assert extracted() == []
    assert (resolve(ref).path / "a.txt").read_bytes() == b"first"
    assert not list(cache.glob(partial))
    assert [path.name for path in cache.glob("archives/*")] == [ref[-64:]]
