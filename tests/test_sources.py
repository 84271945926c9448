"""Sources: references, packages over a real local index, hostile archives, the hub and its mirror, paths."""

import errno
import hashlib
import io
import multiprocessing
import os
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.utils._paths import filter_repo_objects

from bench import archives, package_index, sources
from bench.errors import SourceError
from bench.sources import HubRef, PackageRef, PathRef, Resolved, parse, resolve, tree_digest

SHA = "0123456789abcdef" * 4
COMMIT = "0123456789" * 4
WHEEL = "demo_pkg-1.0-cp27-cp27m-win32.whl"  # neither this Python nor this platform: nothing gets installed
SDIST = "demo_pkg-1.0.tar.gz"
FILES = {"demo/data/a.txt": b"first", "demo/data/deep/b.txt": b"second", "demo/model.json": b"{}"}


# Archives: what a name holds; None is a folder, and a str is what a symbolic link points to.
Files = Sequence[tuple[str, bytes | str | None]]


def make_wheel(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*files, ("demo_pkg-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\n")]:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            if isinstance(content, str):
                info.external_attr = 0o120777 << 16
            archive.writestr(info, content or b"")
    return buffer.getvalue()


def make_sdist(files: Files, top: str = "demo_pkg-1.0/") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files:
            info = tarfile.TarInfo(top + name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            elif content is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Index:
    """A package index on the loopback interface: what it serves, how honestly, and what was asked of it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.hashes = True
        self.cut = 0  # bytes kept back at the end of every file
        self.asked: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                name = self.path.rpartition("/")[2]
                if self.path == "/simple/demo-pkg/":
                    self.answer(index.page().encode(), "text/html")
                elif self.path.startswith("/moved/"):
                    self.send_response(302)
                    self.send_header("Location", f"/files/{name}")
                    self.end_headers()
                elif name in index.files:
                    self.answer(index.files[name], "application/octet-stream", index.cut)
                else:
                    self.send_error(404)

            def answer(self, body: bytes, kind: str, cut: int = 0) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) - cut])

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def page(self) -> str:
        pin = {name: f"#sha256={sha256(body)}" if self.hashes else "" for name, body in self.files.items()}
        return "".join(f'<a href="/files/{name}{pin[name]}">{name}</a>\n' for name in self.files)

    def downloads(self) -> int:
        return sum(path.startswith("/files/") for path in self.asked)

    def stop(self) -> None:
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BENCH_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's configuration reaches no test, and only the test that is about pip starts it."""
    for name in os.environ:
        if name.startswith(("PIP_", "BENCH_", "HF_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(package_index, "_pip_config_list", lambda: "")


@pytest.fixture
def index(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    served = Index()
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    yield served
    served.stop()


def serve(index: Index, inner: str, files: Files, name: str = WHEEL) -> str:
    """Put a package with these files on the index; the reference to `inner` in it."""
    return serve_archive(index, inner, make_wheel(files) if name.endswith(".whl") else make_sdist(files), name)


def serve_archive(index: Index, inner: str, body: bytes, name: str = WHEEL) -> str:
    index.files[name] = body
    return f"package:demo.pkg==1.0!/{inner}#sha256={sha256(body)}"


def visible(cache: Path) -> list[str]:
    """What the cache shows of finished packages: all files but locks, temporary ones and archives."""
    paths = [path.relative_to(cache) for path in cache.rglob("*") if path.is_file()]
    return [str(p) for p in paths if p.parts[0] != "archives" and not any(x.startswith(".") for x in p.parts)]


def half_archives(cache: Path) -> list[Path]:
    """Archives in the cache, hidden or not, that are not what they are called."""
    return [path for path in cache.glob("archives/*") if sha256(path.read_bytes()) != path.name]


def fails(cache: Path, ref: str, *expected: str) -> str:
    """`ref` cannot be resolved, the one sentence says all that is expected, and nothing half done is left."""
    with pytest.raises(SourceError) as caught:
        resolve(ref)
    for part in expected:
        assert part in str(caught.value)
    assert visible(cache) == []
    assert half_archives(cache) == []
    assert not list(cache.glob("packages/*/*"))
    return str(caught.value)


# References


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        (
            f"package:Demo_Pkg==1.0!/a/b.txt#sha256={SHA.upper()}",
            PackageRef("demo-pkg", "1.0", "a/b.txt", SHA),
        ),
        (f"package:x==1!2.0+cpu!/folder/#sha256={SHA}", PackageRef("x", "1!2.0+cpu", "folder", SHA)),
        ("hub:owner/name.x@main", HubRef("owner/name.x", "model", "main")),
        (
            "hub:datasets/eriktks/conll2003@refs/convert/parquet!/conll2003",
            HubRef("eriktks/conll2003", "dataset", "refs/convert/parquet", "conll2003"),
        ),
        ("./not-there", PathRef(Path("not-there"))),
        ("~/models", PathRef(Path("~/models"))),
        ("/models", PathRef(Path("/models"))),
    ],
)
def test_parse(ref: str, expected: object) -> None:
    assert parse(ref) == expected


def test_parse_takes_a_bare_name_that_exists_for_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("a")
    assert parse("data.csv") == PathRef(Path("data.csv"))


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("bert-base-uncased", "package:NAME==VERSION"),
        ("bert-base-uncased", "hub:"),
        ("bert-base-uncased", "./folder"),
        ("", "neither"),
        ("x" * 5000, "neither"),
        ("package:x==1!/a", "not pinned"),
        ("package:x==1!/a#sha256=abc", "64 hexadecimal"),
        (f"package:x!/a#sha256={SHA}", "NAME==VERSION"),
        (f"package:x>=1!/a#sha256={SHA}", "NAME==VERSION"),
        (f"package:../x==1!/a#sha256={SHA}", "NAME==VERSION"),
        (f"package:x==1/../..!/a#sha256={SHA}", "exact version"),
        (f"package:x==*!/a#sha256={SHA}", "exact version"),
        (f"package:x==1#sha256={SHA}", "no file or folder inside"),
        (f"package:x==1!/#sha256={SHA}", "no file or folder inside"),
        (f"package:x==1!/a/../b#sha256={SHA}", "malformed path"),
        (f"package:x==1!//etc/passwd#sha256={SHA}", "malformed path"),
        (f"package:x==1!/a\\b#sha256={SHA}", "malformed path"),
        (f"package:x==1!/a\0b#sha256={SHA}", "malformed path"),
        ("hub:owner/name", "not pinned"),
        ("hub:owner/name@", "not pinned"),
        ("hub:name@main", "OWNER/NAME"),
        ("hub:datasets/name@main", "OWNER/NAME"),
        ("hub:../name@main", "OWNER/NAME"),
        ("hub:owner/..@main", "OWNER/NAME"),
        ("hub:spaces/owner/name@main", "OWNER/NAME"),
        ("hub:owner/name@../main", "malformed revision"),
        ("hub:owner/name@a b", "malformed revision"),
        ("hub:owner/name@main!/", "after !/"),
        ("hub:owner/name@main!/../..", "malformed path"),
    ],
)
def test_parse_refuses(ref: str, expected: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse(ref)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_cache_is_where_it_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "pasta-bench" in str(sources.cache_dir())
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert sources.cache_dir() == tmp_path


# Packages: fetching


def test_a_file_of_a_wheel(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    seen: list[tuple[int, int | None]] = []
    found = resolve(ref, report=lambda done, total: seen.append((done, total)))
    assert found.path.name == "model.json"
    assert found.path.read_bytes() == b"{}"
    assert (found.revision, found.origin) == ("sha256:" + ref[-64:], "package")
    assert seen[-1] == (len(index.files[WHEEL]), len(index.files[WHEEL]))
    assert len(visible(cache)) == 1


def test_a_folder_of_a_wheel_and_then_a_file_beside_it_with_one_download(index: Index, cache: Path) -> None:
    folder = resolve(serve(index, "demo/data", list(FILES.items())))
    assert sorted(str(p.relative_to(folder.path)) for p in folder.path.rglob("*.txt")) == [
        "a.txt",
        "deep/b.txt",
    ]
    assert (folder.path / "deep/b.txt").read_bytes() == b"second"
    assert len(visible(cache)) == 2
    resolve(serve(index, "demo/model.json", list(FILES.items())))
    assert index.downloads() == 1


def test_the_top_folder_of_an_sdist_is_not_part_of_the_path(index: Index, cache: Path) -> None:
    found = resolve(serve(index, "training/labeled.xml", [("training/labeled.xml", b"<x/>")], SDIST))
    assert found.path.read_bytes() == b"<x/>"


@pytest.mark.parametrize("hashes", [True, False])
@pytest.mark.parametrize("name", [WHEEL, SDIST])
def test_the_hash_chooses_between_wheel_and_sdist(index: Index, cache: Path, name: str, hashes: bool) -> None:
    refs = {each: serve(index, "a.txt", [("a.txt", each.encode())], each) for each in (WHEEL, SDIST)}
    index.hashes = hashes
    assert resolve(refs[name]).path.read_bytes() == name.encode()
    assert index.downloads() == 1 or not hashes


def test_a_second_resolve_asks_nobody(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/data", list(FILES.items()))
    first = resolve(ref)
    index.stop()
    assert resolve(ref) == first


def test_a_pin_that_differs_only_at_its_end_finds_nothing(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    resolve(ref)
    with pytest.raises(SourceError):
        resolve(ref[:-1] + ("0" if ref[-1] != "0" else "1"))


def test_a_damaged_archive_in_the_cache_is_fetched_again(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    resolve(ref)
    next(cache.glob("archives/*")).write_bytes(b"rot")
    assert resolve(ref.replace("model.json", "data/a.txt")).path.read_bytes() == b"first"
    assert index.downloads() == 2


def test_a_folder_that_pip_is_pointed_to(
    index: Index, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / WHEEL).write_bytes(index.files[WHEEL])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path / 'not-there'} {tmp_path / 'wheels'}")
    monkeypatch.setenv("BENCH_OFFLINE", "1")  # a folder is no connection
    assert resolve(ref).path.read_bytes() == b"{}"
    assert index.asked == []


def test_a_redirect_is_followed(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    page = index.page().replace("/files/", "/moved/")
    monkeypatch.setattr(index, "page", lambda: page)
    assert resolve(ref)


def test_pips_own_configuration_is_read(
    index: Index, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
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


# Packages: failures of network and disk


def test_another_hash_than_the_pinned_one(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    wrong = ref[:-64] + SHA
    fails(cache, wrong, SHA, ref[-64:])
    assert index.downloads() == 0  # the index said it already
    index.hashes = False
    fails(cache, wrong, SHA, ref[-64:])


def test_an_index_that_serves_something_else_than_it_says(
    index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    page = index.page()
    monkeypatch.setattr(index, "page", lambda: page)
    index.files[WHEEL] = make_wheel([("demo/model.json", b"tampered")])
    fails(cache, ref, ref[-64:], sha256(index.files[WHEEL]))


def test_a_download_that_is_cut_short(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    index.cut = 20
    fails(cache, ref, "was cut short")
    index.cut = 0
    assert resolve(ref)


def test_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:1/simple")
    message = fails(
        cache,
        f"package:demo-pkg==1.0!/a#sha256={SHA}",
        "demo-pkg==1.0",
        "127.0.0.1:1/simple",
        "python -m bench fetch",
        "find-links",
    )
    assert "secret" not in message


def test_a_password_in_an_index_url_stays_secret(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    page = index.page()
    monkeypatch.setattr(index, "page", lambda: page.replace("/files/", "http://user:secret@127.0.0.1:1/"))
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("http://", "http://user:secret@"))
    assert "secret" not in fails(cache, ref, "cannot be downloaded")
    monkeypatch.setattr(index, "page", lambda: page)
    index.files.clear()
    assert "secret" not in fails(cache, ref, "cannot be downloaded", "404")


def test_a_version_that_is_not_there(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    fails(cache, ref.replace("==1.0", "==2.0"), "nothing of that version")
    fails(cache, ref.replace("demo.pkg", "other"), "404")


def test_offline_opens_no_connection(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = serve(index, "demo/model.json", list(FILES.items()))
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    fails(cache, ref, "BENCH_OFFLINE is set")
    assert index.asked == []
    monkeypatch.delenv("BENCH_OFFLINE")
    first = resolve(ref)
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    assert resolve(ref) == first


@pytest.mark.parametrize("after", [0, 2])  # fails while the archive is written; while it is taken apart
def test_a_full_disk(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    ref = serve(index, "demo/data", list(FILES.items()))
    real, calls = os.fsync, []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        fails(cache, ref, "disk is full", "needed in", str(cache), "is free", "BENCH_CACHE")
    assert resolve(ref)


def test_a_cache_that_cannot_be_made(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SourceError, match=r"Cannot write in .*BENCH_CACHE"):
        resolve(serve(index, "demo/data", list(FILES.items())))


# Packages: several processes


def _resolve_in_child(ref: str, start: "threading.Barrier", found: "multiprocessing.Queue[str]") -> None:
    start.wait(20)
    found.put(str(resolve(ref).path))


def test_two_processes_at_once_make_one_download(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/data", list(FILES.items()))
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
    assert len(visible(cache)) == 2
    assert index.downloads() == 1


def test_interrupted_while_taking_apart(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = serve(index, "demo/data", list(FILES.items()))
    with monkeypatch.context() as patch:
        patch.setattr(archives, "_write", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            resolve(ref)
    assert visible(cache) == []
    assert resolve(ref)


def test_killed_while_taking_apart(index: Index, cache: Path, tmp_path: Path) -> None:
    ref = serve(index, "demo/data", list(FILES.items()))
    resolve(ref.replace("demo/data", "demo/model.json"))  # so that the archive is there
    before, marker = visible(cache), tmp_path / "reached"
    script = (
        "import sys, time, pathlib; from bench import archives, sources\n"
        "def stop(*args): pathlib.Path(sys.argv[2]).touch(); time.sleep(60)\n"
        "archives.os.fsync = stop\n"
        "sources.resolve(sys.argv[1])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, ref, str(marker)])
    deadline = time.monotonic() + 20
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert marker.exists()
    assert list(cache.glob("packages/*/.*.partial"))  # something was under way
    assert visible(cache) == before
    assert (resolve(ref).path / "a.txt").read_bytes() == b"first"
    assert not list(cache.glob("packages/*/.*.partial"))


# Packages: archives that are damaged, or attack


ATTACKS: dict[str, Files] = {
    "parent": [("data/a", b""), ("../evil", b"x")],
    "parent inside": [("data/a", b""), ("data/../../evil", b"x")],
    "absolute": [("data/a", b""), ("/tmp/evil", b"x")],
    "drive": [("data/a", b""), ("C:/evil", b"x")],
    "backslash": [("data/a", b""), ("data\\..\\evil", b"x")],
    "control character": [("data/a", b""), ("data/\x1b[2Jevil", b"x")],
    "link": [("data/a", b""), ("data/evil", "/etc/passwd")],
    "link as folder": [("data", "/tmp"), ("data/evil", b"x")],
    "twice": [("data/a", b"x"), ("data/a", b"y")],
    "case": [("data/a", b"x"), ("data/A", b"y")],
    "case of a folder": [("data/x/a", b"x"), ("data/X/b", b"y")],
    "file and folder": [("data/x", b"x"), ("data/x/b", b"y")],
    "unicode forms": [("data/\u00e9", b"x"), ("data/e\u0301", b"y")],
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", [WHEEL, SDIST])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unsafe_archives_are_refused(index: Index, cache: Path, attack: str, name: str) -> None:
    top = "" if attack in ("parent", "absolute", "drive") else "demo_pkg-1.0/"  # those stand at the very front
    body = make_wheel(ATTACKS[attack]) if name == WHEEL else make_sdist(ATTACKS[attack], top)
    fails(cache, serve_archive(index, "data", body, name), "unsafe")
    assert not list(cache.parent.rglob("evil"))


def test_links_and_devices_of_a_tar_are_refused(cache: Path, tmp_path: Path) -> None:
    for kind in (tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
        path = tmp_path / "x.tar"
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo("top/data/evil")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        with pytest.raises(SourceError, match="link or a device"):
            archives.extract(path, "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_that_hides_behind_a_nul_is_refused(index: Index, cache: Path) -> None:
    body = make_wheel([("data/a.txt?../evil", b"x")]).replace(b"a.txt?", b"a.txt\0")
    fails(cache, serve_archive(index, "data", body), "unsafe")


def test_what_lies_elsewhere_in_the_archive_does_not_matter(index: Index, cache: Path) -> None:
    files: Files = [
        ("data/a", b"x"),
        ("docs/link", "../README"),
        ("README", b""),
    ]
    assert resolve(serve(index, "data", files, SDIST))


@pytest.mark.parametrize("name", [WHEEL, SDIST])
def test_too_large(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    files: Files = [("data/a", bytes(600_000)), ("data/b", bytes(600_000))]
    fails(cache, serve(index, "data", files, name), "unpacks to more than 1.0 MB")
    assert resolve(serve(index, "data/a", files, name))  # only what is taken out counts


def test_too_large_though_the_listing_says_otherwise(
    index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    ref = serve(index, "data", [("data/a", bytes(3_000_000))])
    honest = archives._zip_members
    monkeypatch.setattr(
        archives,
        "_zip_members",
        lambda opened: [archives._Member(m.path, m.kind, 10, m.open) for m in honest(opened)],
    )
    fails(cache, ref, "unpacks to more than 1.0 MB")


def test_a_zip_whose_header_lies_about_the_size(index: Index, cache: Path) -> None:
    content = bytes(3_000_000)
    size = len(content).to_bytes(4, "little")
    body = make_wheel([("data/a", content)]).replace(size, (10).to_bytes(4, "little"))
    fails(cache, serve_archive(index, "data", body), "damaged")


def test_too_many_files(index: Index, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    fails(cache, serve(index, "data", [(f"data/{i}", b"") for i in range(3)]), "3 files")


@pytest.mark.parametrize(
    "body",
    [b"no archive", make_wheel([("data", b"x")])[:-30], make_sdist([("data", os.urandom(9000))])[:-900]],
)
def test_a_damaged_archive(index: Index, cache: Path, body: bytes) -> None:
    fails(cache, serve_archive(index, "data", body), "cannot be read")


def test_a_path_that_the_archive_does_not_hold(index: Index, cache: Path) -> None:
    ref = serve(index, "demo/data/b.txt", list(FILES.items()))
    fails(cache, ref, "'demo/data/b.txt'", "demo-pkg==1.0", "near matches are demo/data/deep/b.txt")


# The hub and its mirror


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror" / "owner" / "name" / "part"
    folder.mkdir(parents=True)
    (folder / "train.parquet").write_bytes(b"rows")
    return tmp_path / "mirror"


class Hub:
    """A hub with the given files, that keeps what it was asked for."""

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder, self.files = folder / "snapshots" / COMMIT, files
        self.asked: dict[str, object] = {}

    def __call__(self, repo_id: str, **options: object) -> str:
        self.asked = {"repo_id": repo_id, **options}
        patterns = {key: options[key] for key in ("allow_patterns", "ignore_patterns")}
        for name in filter_repo_objects(self.files, **patterns):  # type: ignore[arg-type]
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        return str(self.folder)

    def taken(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hub]:
    def make(*files: str) -> Hub:
        made = Hub(tmp_path / "hub", files)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", made)
        return made

    return make


@pytest.mark.parametrize("ref", ["hub:datasets/owner/name@main!/part", "hub:owner/name@main!/part/"])
def test_the_mirror_comes_first(mirror: Path, monkeypatch: pytest.MonkeyPatch, ref: str) -> None:
    folder = mirror / "owner" / "name" / "part"
    expected = Resolved(folder, tree_digest(folder), "mirror")
    assert resolve(ref, mirror=mirror) == expected
    monkeypatch.setenv("BENCH_MIRROR", str(mirror))
    assert resolve(ref) == expected


def test_what_the_mirror_does_not_have_comes_from_the_hub(mirror: Path, hub: Callable[..., Hub]) -> None:
    made = hub("train.parquet", "other/train.parquet", "other/script.py")
    found = resolve("hub:datasets/owner/name@main!/other", mirror=mirror)
    assert found == Resolved(made.folder / "other", f"commit:{COMMIT}", "hub")
    assert made.taken() == ["other/train.parquet"]
    assert (made.asked["repo_id"], made.asked["repo_type"]) == ("owner/name", "dataset")
    assert made.asked["revision"] == "main"


def test_a_model_is_weights_in_safetensors_and_never_a_pickle(hub: Callable[..., Hub]) -> None:
    safe = ["config.json", "model.safetensors", "tokenizer.model", "vocab.txt"]
    made = hub(*safe, "pytorch_model.bin", "x.pt", "x.pkl", "modeling.py", "tokenizer.py", "tokenizer.pkl")
    assert resolve(f"hub:owner/name@{COMMIT}").path == made.folder
    assert made.taken() == safe
    assert made.asked["repo_type"] == "model"


def test_patterns_can_be_replaced_but_pickles_stay_out(hub: Callable[..., Hub]) -> None:
    made = hub("a.onnx", "a.bin", "config.json")
    resolve("hub:owner/name@main", allow=["*.onnx", "*.bin"])
    assert made.taken() == ["a.onnx"]


def test_one_file_of_the_hub(hub: Callable[..., Hub]) -> None:
    made = hub("part/train.csv", "part/test.csv")
    assert resolve("hub:datasets/owner/name@main!/part/test.csv").path.read_text() == "part/test.csv"
    assert made.taken() == ["part/test.csv"]


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("hub:owner/name@main", "no weights in safetensors"),
        ("hub:owner/name@main!/part", "no such data"),
        ("hub:datasets/owner/name@main!/part", "no such data"),
    ],
)
def test_a_hub_repository_without_what_is_needed(hub: Callable[..., Hub], ref: str, expected: str) -> None:
    hub("config.json", "pytorch_model.bin")
    with pytest.raises(SourceError, match=expected):
        resolve(ref)


def test_a_hub_out_of_reach_says_what_to_do(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(SourceError) as caught:
        resolve("hub:datasets/owner/absent@refs/convert/parquet", mirror=mirror)
    message = str(caught.value)
    for part in ("owner/absent", "refs/convert/parquet", str(mirror), "--mirror DIR", "BENCH_MIRROR"):
        assert part in message
    assert "DIR/owner/absent" in message
    assert "\n" not in message
    with pytest.raises(SourceError, match="no mirror is set"):
        resolve("hub:owner/absent@main")
    with pytest.raises(SourceError, match="does not exist"):
        resolve("hub:owner/absent@main", mirror=tmp_path / "not-there")


# Paths


def test_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = resolve("~/model")
    assert found == Resolved(tmp_path / "model", tree_digest(tmp_path / "model"), "path")
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
    with pytest.raises(SourceError, match="no files"):
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
    with pytest.raises(SourceError, match="no plain file"):
        tree_digest(tree)


# The module itself, and the index that this machine has


def test_importing_is_light() -> None:
    heavy = ("torch", "transformers", "datasets", "unearth", "huggingface_hub")
    script = f"import sys, bench.sources; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


def test_an_embedded_default_from_the_configured_index(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    digest = "f7e614e2489c159cf85be1b6f86edbfaf329dbeedef4d002a025757afd1ec6c6"
    try:
        found = resolve(f"package:usaddress==0.5.16!/training/labeled.xml#sha256={digest}")
    except SourceError as error:
        if "cannot be reached" in str(error) or "BENCH_OFFLINE" in str(error):
            pytest.skip(f"the package index is out of reach: {error}")
        raise
    assert found.path.read_bytes().count(b"<AddressString>") > 1_500
