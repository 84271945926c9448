"""Packages: several processes, and ones that die."""

import multiprocessing
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from local_index import Index, bad_archives, extracted, serve

from bench.sources.resolve import resolve


def _resolve_in_child(ref: str, start: "threading.Barrier", found: "multiprocessing.Queue[str]") -> None:
    start.wait(20)
    found.put(str(resolve(ref).path))


def test_two_processes_at_once_make_one_download(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/data")
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[str] = context.Queue()
    start = context.Barrier(2)
    children = [context.Process(target=_resolve_in_child, args=(ref, start, found)) for _ in range(2)]
    for child in children:
        child.start()
    paths = {found.get(timeout=20) for _ in children}
    for child in children:
        child.join(20)
    assert [child.exitcode for child in children] == [0, 0]
    assert len(paths) == 1
    assert len(extracted(cache)) == 2
    assert index.downloads() == 1


def test_interrupted_while_extracting(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = serve(index, "demo/data")
    with monkeypatch.context() as patch:
        patch.setattr("bench.sources.archives._write", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            resolve(ref)
    assert extracted(cache) == []
    assert resolve(ref)


STOP = {  # where the process is stopped, and what it has in the cache then
    "downloading": ("resolve.resolve(sys.argv[1], on_progress=stop)\n", "archives/.*.partial/*"),
    "extracting": ("archives.os.fsync = stop\nresolve.resolve(sys.argv[1])\n", "packages/*/.*.partial"),
}


@pytest.mark.parametrize("where", STOP)
def test_killed(index: Index, cache: Path, tmp_path: Path, where: str) -> None:
    ref, marker = serve(index, "demo/data"), tmp_path / "reached"
    code, partial = STOP[where]
    script = (
        "import sys, time, pathlib; from bench.sources import archives, resolve\n"
        "def stop(*args): pathlib.Path(sys.argv[2]).touch(); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script + code, ref, str(marker)])
    deadline = time.monotonic() + 20
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert marker.exists()
    assert list(cache.glob(partial))  # something was under way
    assert extracted(cache) == []
    assert (resolve(ref).path / "a.txt").read_bytes() == b"first"
    assert not list(cache.glob(partial))
    assert bad_archives(cache) == []
