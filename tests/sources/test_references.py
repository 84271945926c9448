"""References, the cache, and what the module costs."""

import subprocess
import sys
from pathlib import Path

import pytest
from local_index import SHA

from bench.errors import SourceError
from bench.sources.references import HubRef, PackageRef, PathRef, parse
from bench.sources.resolve import cache_dir, resolve


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


@pytest.mark.parametrize("ref", ["bert-base-uncased", "", "x" * 5000])
def test_a_name_that_is_no_path_gets_all_forms_listed(ref: str) -> None:
    with pytest.raises(SourceError, match="neither") as caught:
        parse(ref)
    assert all(form in str(caught.value) for form in ("package:NAME==VERSION", "hub:OWNER/NAME", "./folder"))


@pytest.mark.parametrize(
    "ref",
    [
        "package:x==1!/a",
        "package:x==1!/a#sha256=abc",
        *(
            f"package:{rest}#sha256={SHA}"
            for rest in (
                "x!/a", "x>=1!/a", "../x==1!/a", "x==1/../..!/a", "x==*!/a", "x==1", "x==1!/", "x==1!/a/../b",
                "x==1!//etc/passwd", "x==1!/a\\b", "x==1!/a\0b", "x==1!/a\nb",
                f"{'x' * 97}==1!/a", f"x==1!/{'a' * 256}",
            )
        ),
        *(
            f"hub:{rest}"
            for rest in (
                "owner/name", "owner/name@", "name@main", "datasets/name@main", "../name@main", "owner/..@main",
                "spaces/owner/name@main", "owner/name@../main", "owner/name@a b", "owner/name@main!/",
                "owner/name@main!/../..", f"owner/{'x' * 97}@main",
            )
        ),
    ],
)  # fmt: skip
def test_malformed_references_are_refused_with_the_right_form(ref: str) -> None:
    with pytest.raises(SourceError, match="is malformed; write") as caught:
        parse(ref)
    form = "package:NAME==VERSION!/path/inside#sha256=HEX" if ref.startswith("package") else "hub:OWNER/NAME@REVISION"
    assert form in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_cache_is_where_it_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "pasta-bench" in str(cache_dir())
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path


def test_importing_is_light() -> None:
    heavy = ("torch", "transformers", "datasets", "unearth", "huggingface_hub")
    script = f"import sys, bench.sources.resolve; print([name for name in {heavy} if name in sys.modules])"
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
