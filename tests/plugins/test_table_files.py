"""Reading files as people save them: every value as it stands, and one sentence for what cannot be read."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import SourceError
from bench.plugins import tables

ROWS = [
    ("NA", "1"), ("null", "0"), ("", "1"), ("01", "nan"), ("C++, C#", "0"), ('he said "no"', "1"),
    ("two\nlines", "0"), ("tab\there; and | there", "1"), ("naïve – दिन 🙂", "0"), ("  outer  ", "2024-01-31"),
]  # fmt: skip


def written(delimiter: str, rows: list[tuple[str, ...]] = ROWS, header: tuple[str, ...] = ("text", "label")) -> str:
    made = io.StringIO()
    csv.writer(made, delimiter=delimiter).writerows([header, *rows])
    return made.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_values_come_as_they_were_written(tmp_path: Path, delimiter: str, encoding: str) -> None:
    file = tmp_path / "data.csv"
    file.write_bytes(written(delimiter).encode(encoding))
    assert tables.read(file, ["text", "label"]).rows == ROWS
    assert tables.read(file, ["label"]).rows == [(label,) for _, label in ROWS]


def test_a_header_is_read_without_its_outer_space_and_a_long_field_whole(tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text(f"id, text ,label\n1,{'x' * 200_000},a\n\n,,\n2,b,c,,\n", encoding="utf-8")
    assert tables.read(file, ["label", "text"]).rows == [("a", "x" * 200_000), ("c", "b")]


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        (['so "bad', '"so bad'], ['so "bad', '"so bad']),  # as in corpora that do not quote
        (['"a ""fine"" film"', "plain"], ['a "fine" film', "plain"]),  # as a spreadsheet saves
        (['"two\nlines"', "plain"], ["two\nlines", "plain"]),
        (['"opens here', 'closes there"'], ['"opens here', 'closes there"']),
    ],
)
def test_quotes_between_tabs_are_those_of_the_file_or_of_the_texts(
    tmp_path: Path, lines: list[str], rows: list[str]
) -> None:
    file = tmp_path / "data.tsv"
    file.write_text("text\tlabel\n" + "".join(f"{line}\t1\r\n" for line in lines), encoding="utf-8", newline="")
    assert tables.read(file, ["text", "label"]).rows == [(text, "1") for text in rows]


JSON_ROWS: list[tuple[Any, ...]] = [
    ("NA", 1),
    ("2024-01-31", 0),
    (None, 2),
    (["the", "film"], ["O", "B-X"]),
    ("\u2028", True),
]


@pytest.mark.parametrize("as_list", [False, True])
def test_json_keeps_types_and_takes_an_absent_key_for_null(tmp_path: Path, as_list: bool) -> None:
    objects = [{"text": text, "label": label, "more": {}} for text, label in JSON_ROWS]
    del objects[2]["text"]
    made = json.dumps(objects) if as_list else "\n".join(json.dumps(each, ensure_ascii=False) for each in objects)
    file = tmp_path / ("data.json" if as_list else "data.jsonl")
    file.write_text(f"\ufeff{made}\n", encoding="utf-8")
    assert tables.read(file, ["text", "label"]).rows == JSON_ROWS


def test_parquet_keeps_types_and_the_names_of_classes(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    names = ["neg", "pos"]
    features = Features(
        {"text": Value("string"), "label": ClassLabel(names=names), "tags": List(ClassLabel(names=names))}
    )
    rows = {"text": ["NA", None, "01"], "label": [1, 0, -1], "tags": [[0, 1], [], [1]]}
    Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "a.parquet"))
    found = tables.read(tmp_path / "a.parquet", ["text", "label", "tags"])
    assert found.rows == [("NA", "pos", ["neg", "pos"]), (None, "neg", []), ("01", -1, ["pos"])]  # -1: not told
    assert found.names == {"label": ("neg", "pos"), "tags": ("neg", "pos")}


def test_parquet_of_pandas_has_no_names_and_writes_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    pd.DataFrame({"text": ["a", "b"], "label": [1.0, float("nan")]}).to_parquet(tmp_path / "a.parquet")
    found = tables.read(tmp_path / "a.parquet", ["text", "label"])
    assert found.rows[0] == ("a", 1.0)
    assert found.names == {}
    assert [each.name for each in tmp_path.iterdir()] == ["a.parquet"]


BAD = {
    "latin.csv": ("text,label\ncafé,1\n".encode("latin-1"), r"is not UTF-8 \(byte 0xe9 in line 2\)"),
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b"\xef\xbb\xbf\n\n", "is empty"),
    "near.csv": (b"texte,label\na,1\n", "has no column 'text' .*; did you mean 'texte'. There are: label, texte"),
    "headless.csv": (
        b"a text of many words " * 20 + b",1\nb,2\n",
        r"no column 'text' .* 1, a text of many words a text of many word\.\.\.\.$",
    ),
    "twice.csv": (b"text,label,text\na,1,b\n", "has 2 columns 'text'"),
    "ragged.csv": (b"text,label\na, b,1\n", r"line 2: 3 fields where the header has 2"),
    "short.csv": (b"text,label\na\n", "line 2: 1 fields"),
    "open.csv": (b'text,label\n"a,1\nb,2\n', "line 3: the quotes are wrong"),
    "inside.csv": (b'text,label\n"a"b,1\n', "line 2: the quotes are wrong"),
    "book.xlsx": (b"PK", r"no suffix of a format that is read \(.csv"),
    "cut.jsonl": (b'{"text": "a"}\n{"text"', "is not JSON Lines, after 1 rows"),
    "other.jsonl": (b"[1, 2]", "row 1: not an object"),
    "deep.json": (b"[" * 100_000, "is not JSON Lines"),
    "absent.jsonl": (b'{"texts": "a", "label": 1}\n', "has no column 'text' .*; did you mean 'texts'"),
    "none.jsonl": (b"\n", "has no column 'text'"),
    "cut.parquet": (b"PAR1", "cannot be read as Parquet"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as raised:
        tables.read(tmp_path / name, ["text", "label"])
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


FOLDERS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "train.csv test.csv README.md": ({}, {"train": "train.csv", "test": "test.csv"}),
    "train.tsv dev.tsv test.tsv": ({}, {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"}),
    "data/train-1-of-2.parquet data/train-0-of-2.parquet data/test-0.parquet": (
        {},
        {"train": "data/train-0-of-2.parquet data/train-1-of-2.parquet", "test": "data/test-0.parquet"},
    ),
    "train/0.parquet test/0.parquet train-old.csv": ({}, {"train": "train/0.parquet", "test": "test/0.parquet"}),
    "train.csv LICENSE": ({}, {"": "train.csv"}),
    "all.csv .hidden.csv": ({}, {"": "all.csv"}),
    "a.csv val_b.csv b.csv": (
        {"train": "a", "test": "val_b", "hard": "b.csv"},
        {"train": "a.csv", "test": "val_b.csv", "hard": "b.csv"},
    ),
}


@pytest.mark.parametrize("names", FOLDERS)
def test_the_splits_of_a_folder_are_found(tmp_path: Path, names: str) -> None:
    splits, expected = FOLDERS[names]
    found = tables.split_files(folder(tmp_path, *names.split()), splits)
    relative = {
        split: " ".join(file.relative_to(tmp_path).as_posix() for file in files) for split, files in found.items()
    }
    assert relative == expected


@pytest.mark.parametrize(
    ("names", "splits", "message"),
    [
        (["a.csv", "b.csv"], {}, r"no file of the split 'train' .* there are: a.csv, b.csv"),
        (["train.csv", "dev.csv"], {}, "no file of the split 'test'"),
        (["test.csv", "dev.csv"], {}, "no file of the split 'train'"),
        (["train.csv", "train.jsonl", "test.csv"], {}, "train.csv and train.jsonl: name one of them"),
        (["train.csv", "test.csv"], {"train": "../train.csv", "test": "test"}, "files inside the source"),
        (["train.csv", "test.csv"], {"train": "/etc/passwd", "test": "test"}, "files inside the source"),
        (["train.csv", "test.csv"], {"train": "t*", "test": "test"}, r"no file of the split 't\*'"),
    ],
)
def test_a_split_that_is_not_there_is_one_sentence(
    tmp_path: Path, names: list[str], splits: dict[str, str], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        tables.split_files(folder(tmp_path, *names), splits)
