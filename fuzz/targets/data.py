"""Files of data: archives, and what tasks read out of them."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from typing import Any
from unittest import mock

from fuzz.targets.target import Target, file_of


def _archives(data: bytes) -> object:
    from bench.sources.archives import extract

    with file_of("archive", data) as path:
        outside = set(path.parent.parent.iterdir())
        extract(path, "data", path.parent / "out")
        files = [each for each in path.parent.rglob("*") if each != path]
        # Plain files and folders, nowhere but below `out`.
        assert all(each.relative_to(path.parent).parts[0] == "out" and not each.is_symlink() for each in files)
        assert set(path.parent.parent.iterdir()) == outside
    return files


def _archives_seeds() -> list[bytes]:
    def tar(mode: str, **options: Any) -> bytes:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode=mode, **options) as archive:
            for name in ("top/data/a.txt", f"top/data/{'n' * 120}", "top/data/sub/b"):
                info = tarfile.TarInfo(name)
                info.size = 5
                archive.addfile(info, io.BytesIO(b"hello"))
            for kind, name in ((tarfile.SYMTYPE, "top/other"), (tarfile.DIRTYPE, "top/data/sub")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "data/a.txt" if kind == tarfile.SYMTYPE else ""
                archive.addfile(info)
        return raw.getvalue()

    def zipped(compression: int) -> bytes:
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", compression) as archive:
            for name in ("data/a.txt", "data/sub/b", "x-1.dist-info/WHEEL"):
                archive.writestr(name, b"hello" * 9)
        return raw.getvalue()

    return [
        tar("w", format=tarfile.PAX_FORMAT), tar("w", format=tarfile.GNU_FORMAT), tar("w:gz"), tar("w:xz"),
        tar("w:bz2"),         zipped(zipfile.ZIP_STORED), zipped(zipfile.ZIP_DEFLATED), zipped(zipfile.ZIP_LZMA),
    ]  # fmt: skip


def _tables(data: bytes) -> object:
    """What tasks read: the first byte says which task, the rest is its file."""
    from bench.train.data import read

    tasks = _tasks_and_files()
    if not data:
        return None
    name, files = tasks[data[0] % len(tasks)]
    with _task(name) as task, file_of(files[0], data[1:]) as path:
        for other in files[1:]:
            (path.parent / other).write_bytes(data[1:])
        splits = read(task, path if len(files) == 1 else path.parent)
    return [len(split) for split in splits.values()]


def _tasks_and_files() -> list[tuple[str, tuple[str, ...]]]:
    from tasks import record_match

    return [
        ("rt-polarity", ("movies.txt",)),
        ("rt-intensity", ("movies.txt",)),
        ("sms-spam", ("sms.csv",)),
        ("us-address", ("labeled.xml", "us50_messiest_manual_label.xml")),
        ("record-match", record_match.FILES),
    ]


@contextlib.contextmanager
def _task(name: str) -> Iterator[Any]:
    """A task, cut into splits that a file of three examples is enough for, so that examples are looked at too."""
    from bench.plugins import registry, splits

    def small(examples: Any, **sizes: Any) -> Any:
        return splits.cut(examples, salt="fuzz", validation=1, test=1)

    plugin = registry.tasks().get(name).plugin
    module = sys.modules[plugin.__module__]
    with mock.patch.object(module, "cut", small) if hasattr(module, "cut") else contextlib.nullcontext():
        yield plugin()


def _tables_seeds() -> list[bytes]:
    movies = b"id\tsentiment\ttext\n1\t-1.5\ta dull film\n2\t2.25\ta fine film\n3\t1\tgood\n4\t2\tok\n"
    addresses = (
        b"<AddressCollection><AddressString><AddressNumber>12</AddressNumber> <StreetName>Main</StreetName>"
        b"</AddressString><AddressString><PlaceName>York</PlaceName></AddressString>"
        b"<AddressString><ZipCode>1</ZipCode></AddressString></AddressCollection>"
    )
    people = (
        b"rec_id, given_name, surname, suburb, postcode\nrec-1-org, ann, lee, perth, 6000\n"
        b"rec-1-dup-0, an, lee, perth, 6000\nrec-2-org, bo, lee, york, 6001\n"
    )
    messages = b'text,spam\n"win, now",1\nhello,0\nagain,0\n'
    return [bytes([at]) + content for at, content in enumerate((movies, movies, messages, addresses, people))]


SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
KINDS: tuple[dict[str, Any], ...] = (
    {}, {"kind": "regression"}, {"kind": "token-classification"}, {"labels": ["a", "b"]}, {"pair": "pair"},
    {"kind": "multi-label", "separator": ";"}, {"kind": "multi-label", "label": ["label", "pair"]},
)  # fmt: skip


def _own_tables(data: bytes) -> object:
    """A user's file: the first byte says what it is called and what its task declares."""
    from bench.check.data_notes import notes
    from bench.plugins import registry, table_task
    from bench.train.data import read

    at = data[0] if data else 0
    keys = KINDS[at // len(SUFFIXES) % len(KINDS)]
    with file_of(f"data{SUFFIXES[at % len(SUFFIXES)]}", data[1:]) as path:
        declared = table_task.declaration({"name": "own", "source": path.name, "validation": 1, "test": 1, **keys})
        task = table_task.made(path, declared)()
        splits = read(task, path)
    metric = registry.metrics().get(task.metric).plugin()
    return list(notes(task, splits, metric)) if all(splits.values()) else None


def _own_tables_seeds() -> list[bytes]:
    csv = b'\xef\xbb\xbftext;label;pair\n"one; ""two""\nthree";0;x\nNA;1;y\nfour;0;z\nfive;1;w\n;1;v\n'
    lines = b"".join(b'{"text": "%c", "label": %d.5}\n' % (97 + at, at) for at in range(4))
    words = [{"text": [name, "b"], "label": ["U-X", "O"]} for name in "acde"]
    raw = io.BytesIO()
    table = {"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1], "pair": ["e", "f", None, "g"]}
    pyarrow_table(table, raw)
    of_files = {".csv": csv, ".tsv": csv.replace(b";", b"\t"), ".jsonl": lines, ".json": json.dumps(words).encode()}
    made = [(0, ".csv"), (0, ".tsv"), (3, ".csv"), (4, ".tsv"), (0, ".jsonl"), (1, ".jsonl"), (2, ".json")]
    seeds = [bytes([len(SUFFIXES) * kind + SUFFIXES.index(suffix)]) + of_files[suffix] for kind, suffix in made]
    return [*seeds, *(bytes([len(SUFFIXES) * kind + 4]) + raw.getvalue() for kind in (0, 4))]


def pyarrow_table(columns: dict[str, Any], file: io.BytesIO) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), file)


def _parquet(data: bytes) -> object:
    from bench.train.data import read

    with _task("glue-rte") as task, file_of("train-0.parquet", data) as path:
        for other in ("validation-0.parquet", "test-0.parquet"):
            (path.parent / other).write_bytes(data)
        return [len(split) for split in read(task, path.parent).values()]


def _parquet_seeds() -> list[bytes]:
    raw = io.BytesIO()
    pyarrow_table({"sentence1": ["a b", "c"], "sentence2": ["d", "e"], "label": [0, 1], "idx": [0, 1]}, raw)
    return [raw.getvalue()]


TARGETS = (
    Target("archives", _archives, _archives_seeds),
    Target("tables", _tables, _tables_seeds),
    Target("own_tables", _own_tables, _own_tables_seeds),
    Target("parquet", _parquet, _parquet_seeds),
)
