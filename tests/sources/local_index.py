"""A real package index on the loopback, and packages to put on it."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.errors import SourceError
from bench.sources.resolve import resolve

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
