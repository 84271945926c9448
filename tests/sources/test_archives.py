"""Archives that are damaged or hostile."""

import os
import tarfile
from pathlib import Path

import pytest
from local_index import SDIST, WHEEL, Files, Index, fails, make_sdist, make_wheel, serve

from bench.errors import SourceError
from bench.sources import archives
from bench.sources.resolve import resolve

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
    top = "" if attack in ("parent", "absolute", "drive") else "demo_pkg-1.0/"  # at the very front of a name
    body = make_wheel(ATTACKS[attack]) if name == WHEEL else make_sdist(ATTACKS[attack], top)
    fails(serve(index, "data", body, name), "unsafe")
    assert not list(cache.parent.rglob("evil"))


@pytest.mark.parametrize(
    ("kind", "size", "reason"),
    [
        *((kind, 0, "link or a device") for kind in (tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)),
        # Would be read into memory.
        *((kind, 4 * 1024**3, "over-long file name") for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME)),
    ],
)
def test_a_tar_of_other_things_than_files_is_refused(tmp_path: Path, kind: bytes, size: int, reason: str) -> None:
    info = tarfile.TarInfo("top/data/evil")
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    with pytest.raises(SourceError, match=reason):
        archives.extract(tmp_path / "x.tar", "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_that_hides_behind_a_nul_is_refused(index: Index) -> None:
    body = make_wheel([("data/a.txt?../evil", b"x")]).replace(b"a.txt?", b"a.txt\0")
    fails(serve(index, "data", body), "unsafe")


def test_links_elsewhere_in_the_archive_do_not_matter(index: Index) -> None:
    assert resolve(serve(index, "data", [("data/a", b"x"), ("docs/link", "../README"), ("README", b"")], SDIST))


@pytest.mark.parametrize("name", [WHEEL, SDIST])
def test_too_large(index: Index, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    files: Files = [("data/a", bytes(600_000)), ("data/b", bytes(600_000))]
    fails(serve(index, "data", files, name), "unpacks to more than 1.0 MB")
    assert resolve(serve(index, "data/a", files, name))  # only what is extracted counts


def test_too_large_though_the_listing_says_otherwise(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    honest = archives._zip_members
    monkeypatch.setattr(archives, "_zip_members", lambda zip: [member._replace(size=10) for member in honest(zip)])
    fails(serve(index, "data", [("data/a", bytes(3_000_000))]), "unpacks to more than 1.0 MB")


def test_a_zip_whose_header_lies_about_the_size(index: Index) -> None:
    size = (3_000_000).to_bytes(4, "little")
    body = make_wheel([("data/a", bytes(3_000_000))]).replace(size, (10).to_bytes(4, "little"))
    fails(serve(index, "data", body), "damaged")


def test_too_many_files(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    fails(serve(index, "data", [(f"data/{i}", b"") for i in range(3)]), "3 files")


@pytest.mark.parametrize(
    "body", [b"no archive", make_wheel([("data", b"x")])[:-30], make_sdist([("data", os.urandom(9000))])[:-900]]
)
def test_a_damaged_archive(index: Index, body: bytes) -> None:
    fails(serve(index, "data", body), "damaged")


def test_a_path_that_the_archive_does_not_hold(index: Index) -> None:
    fails(serve(index, "demo/b.txt"), "'demo/b.txt'", "demo-pkg==1.0", "near matches are", "demo/data/a.txt")
