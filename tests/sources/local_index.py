"""A real package index on the loopback interface, and packages to put on it."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.errors import SourceError
from bench.sources.resolve import cache_dir, resolve

SHA = "0123456789abcdef" * 4
WHEEL = "demo_pkg-1.0-cp27-cp27m-win32.whl"  # neither this Python nor this platform: nothing gets installed
SDIST = "demo_pkg-1.0.tar.gz"

Files = Sequence[tuple[str, bytes | str]]
"""Names and contents; a str is the target of a symbolic link."""
FILES: Files = [("demo/data/a.txt", b"first"), ("demo/data/deep/b.txt", b"second"), ("demo/model.json", b"{}")]


def make_wheel(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*files, ("demo_pkg-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\n")]:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            if isinstance(content, str):
                info.external_attr = 0o120777 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def make_sdist(files: Files, top: str = "demo_pkg-1.0/") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files:
            info = tarfile.TarInfo(top + name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Index:
    """A package index: its files and their hashes by name, where its links lead, and the paths that were requested.

    cut: bytes missing at the end of every file.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.hashes: dict[str, str] = {}
        self.links_to = "/files/"
        self.cut = 0
        self.requested: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.requested.append(self.path)
                folder, _, name = self.path.rpartition("/")
                page = self.path == "/simple/demo-pkg/"
                body = index.page().encode() if page else index.files[name] if folder == "/files" else b""
                self.send_response(200 if body else 302 if folder == "/moved" else 404)
                self.send_header("Location", f"/files/{name}")
                self.send_header("Content-Type", "text/html" if page else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) - (0 if page else index.cut)])

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def page(self) -> str:
        pins = {name: f"#sha256={self.hashes[name]}" if name in self.hashes else "" for name in self.files}
        return "".join(f'<a href="{self.links_to}{name}{pin}">{name}</a>\n' for name, pin in pins.items())

    def downloads(self) -> int:
        return sum(path.startswith("/files/") for path in self.requested)

    def stop(self) -> None:
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()


def serve(index: Index, inner: str, files: Files | bytes = FILES, name: str = WHEEL) -> str:
    """Put a package, or the bytes of one, on the index; returns the reference to `inner` in it."""
    make = make_wheel if name.endswith(".whl") else make_sdist
    index.files[name] = files if isinstance(files, bytes) else make(files)
    index.hashes[name] = sha256(index.files[name])
    return f"package:demo.pkg==1.0!/{inner}#sha256={index.hashes[name]}"


def extracted() -> list[str]:
    """The files of finished packages in the cache."""
    paths = [path.relative_to(cache_dir()) for path in cache_dir().glob("packages/**/*") if path.is_file()]
    return [str(path) for path in paths if not any(part.startswith(".") for part in path.parts)]


def fails(ref: str, *expected: str) -> str:
    """Check that `ref` cannot be resolved, that the error has all that is expected, and that nothing is left behind."""
    with pytest.raises(SourceError) as caught:
        resolve(ref)
    message = str(caught.value)
    assert [part for part in expected if part not in message] == [], message
    assert "\n" not in message
    # Every archive in the cache is whole.
    assert all(path.is_file() and sha256(path.read_bytes()) == path.name for path in cache_dir().glob("archives/*"))
    assert not list(cache_dir().glob("packages/*/*"))
    return message
