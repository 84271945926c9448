"""Rows of labelled files: CSV and its kin, JSON Lines, Parquet, and where the splits of a folder are.

Values come as they stand in the file. That is why `datasets` does not read text files here: it reads CSV by pandas,
which takes "NA", "null" and "" for missing values and "01" for 1, and JSON by pyarrow, which takes "2024-01-31" for a
date; and all that it reads it writes into a cache first.
"""

from __future__ import annotations

import csv
import glob
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from bench.errors import SourceError, first_line
from bench.suggestions import suggest

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
DELIMITERS = ",;\t|"
MOST_NAMES, LONGEST_NAME = 50, 40  # of a message: without a header, names are texts
LONGEST_FIELD = 2**31 - 1  # csv's own limit of 131,072 characters is less than a long document


class Table(NamedTuple):
    """The asked columns of a file.

    rows: a tuple a row, in the order of the columns asked for. names: of a column of classes that are numbered in the
    file, the names in the order of the numbers; the rows have these names.
    """

    rows: list[tuple[Any, ...]]
    names: dict[str, tuple[str, ...]]


def read(file: Path, columns: Sequence[str]) -> Table:
    """The columns of a file, whose suffix says its format.

    Raises:
        SourceError: if the format is unknown, the file is malformed or lacks a column.
    """
    reader = _FORMATS.get(file.suffix.lower())
    if reader is None:
        raise SourceError(f"{file} has no suffix of a format that is read ({', '.join(_FORMATS)}): save it as one.")
    return reader(file, columns)


def split_files(source: Path, splits: dict[str, str]) -> dict[str, list[Path]]:
    """The files of each split.

    Args:
        source: a file, or a folder of split files.
        splits: what each split is called in the folder: a file, or a name such as "train" for train.csv,
            train-00000-of-00002.parquet or train/0.parquet. Empty: by the usual names.

    Returns:
        The files by split; those of a table that is to be cut under "".

    Raises:
        SourceError: if a split is not there, or a file is ambiguous.
    """
    if source.is_file():
        if splits:
            raise SourceError(f"[splits] names parts of a folder, and {source} is a file.")
        return {"": [source]}
    if splits:
        found = {split: _files(source, name) for split, name in splits.items()}
    else:
        found = {
            split: next(filter(None, (_files(source, name) for name in names)), [])
            for split, names in SPLIT_NAMES.items()
        }
        if not found["validation"]:
            del found["validation"]
        if not any(found.values()) and len(alone := [path for path in source.iterdir() if _is_table(path)]) == 1:
            return {"": alone}
        if found["train"] and len(found) == 2 and not found["test"]:  # nothing but train
            return {"": found["train"]}
    for split, files in found.items():
        if not files:
            here = ", ".join(sorted(path.name for path in source.iterdir())[:10])
            raise SourceError(
                f"{source} has no file of the split {splits.get(split, split)!r} ({split}.csv, {split}.jsonl, "
                f"{split}-00000.parquet, {split}/0.parquet and the like; there are: {here}): name the files under "
                "[splits] in the task's TOML file."
            )
    return found


def _files(folder: Path, name: str) -> list[Path]:
    """The files of one split, shards in the order of their names."""
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or parts[0] == "/" or "\0" in name:
        raise SourceError(f"[splits] names files inside the source, and {name!r} is none.")
    if (folder / name).is_file():
        return [folder / name]
    for place in (folder, folder / "data", folder / "default"):
        for pattern in (".*", "-[0-9]*", "/*"):
            found = sorted(path for path in place.glob(f"{glob.escape(name)}{pattern}") if _is_table(path))
            if len({path.suffix for path in found}) > 1:
                raise SourceError(
                    f"{place} has {' and '.join(path.name for path in found[:3])}: name one of them under [splits]."
                )
            if found:
                return found
    return []


def _is_table(path: Path) -> bool:
    return path.suffix.lower() in _FORMATS and not path.name.startswith(".") and path.is_file()


def _text(file: Path) -> str:
    """A file's text. Excel writes a byte-order mark, and UTF-16 for "Unicode text"."""
    try:
        data = file.read_bytes()
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise SourceError(f"Cannot read {file} ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{file} is not UTF-8 (byte 0x{data[error.start]:02x} in line {line}): save it as UTF-8 (in Excel, as "
            "CSV UTF-8)."
        ) from error


def _require(file: Path, columns: Sequence[str], there: Sequence[str]) -> None:
    for column in columns:
        if (count := there.count(column)) != 1:
            what = "no column" if count == 0 else f"{count} columns"
            known = [name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..." for name in there[:MOST_NAMES]]
            raise SourceError(f"{file} has {what} {column!r} (text, pair and label say which){suggest(column, known)}")


def _delimited(file: Path, columns: Sequence[str]) -> Table:
    """A file with a header. Its delimiter is the one with which the header names all columns."""
    csv.field_size_limit(LONGEST_FIELD)
    text = _text(file)
    headers = {sign: [name.strip() for name in _records(file, text, sign, first=True)[0][1]] for sign in DELIMITERS}
    complete = [sign for sign in DELIMITERS if set(columns) <= set(headers[sign])]
    delimiter = complete[0] if complete else max(DELIMITERS, key=lambda sign: len(headers[sign]))
    header = headers[delimiter]
    _require(file, columns, header)
    places = [header.index(column) for column in columns]
    rows = []
    for line, record in _records(file, text, delimiter)[1:]:
        if len(record) < len(header) or any(record[len(header) :]):
            raise SourceError(
                f"{file}, line {line}: {len(record)} fields where the header has {len(header)}; a field that holds "
                f"the delimiter ({delimiter!r}), a quote or a line break must be in double quotes."
            )
        rows.append(tuple(record[at] for at in places))
    return Table(rows, {})


def _records(file: Path, text: str, delimiter: str, first: bool = False) -> list[tuple[int, list[str]]]:
    """The records that are not blank, each with the number of its last line. first: the first of them alone."""
    lines = io.StringIO(text, newline="")
    if delimiter == "\t" and not _is_quoted(text):
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    records = []
    try:
        for record in reader:
            if any(map(str.strip, record)):
                records.append((reader.line_num, record))
                if first:
                    break
    except csv.Error as error:
        if not first:
            raise SourceError(f"{file}, line {reader.line_num}: the quotes are wrong ({error}).") from error
    if not records:
        if first and text.strip():
            return [(1, [])]  # not with this delimiter
        raise SourceError(f"{file} is empty.")
    return records


def _is_quoted(text: str) -> bool:
    """Whether tab-separated text quotes its fields, or quotes in it are signs of the texts, as in many corpora.

    Where every line has as many tabs, no field goes on over lines, so a field that a quote only begins is not quoted.
    """
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if len({line.count("\t") for line in lines}) > 1:
        return True
    opened = [field for line in lines if '"' in line for field in line.split("\t") if field.startswith('"')]
    return all(len(field) > 1 and field.endswith('"') for field in opened)


def _json(file: Path, columns: Sequence[str]) -> Table:
    """One object a line, or one list of objects."""
    text = _text(file)
    objects: list[Any] = []
    try:
        if text.lstrip()[:1] == "[":
            objects = json.loads(text)
        else:
            objects += (json.loads(line) for line in text.split("\n") if line.strip())
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file} is not JSON Lines, after {len(objects)} rows ({first_line(error)}).") from error
    for at, each in enumerate(objects, start=1):
        if not isinstance(each, dict):
            raise SourceError(f"{file}, row {at}: not an object with the columns as keys.")
    _require(file, columns, list(dict.fromkeys(name for each in objects for name in each)))
    return Table([tuple(each.get(column) for column in columns) for each in objects], {})


def _parquet(file: Path, columns: Sequence[str]) -> Table:
    """Read by pyarrow, as `datasets` does, without its cache; the names of classes stand in the schema."""
    import pyarrow.parquet

    try:
        _require(file, columns, pyarrow.parquet.read_schema(file).names)
        # By path and not as a data set, which would make columns of the folders' names.
        table = pyarrow.parquet.ParquetFile(file).read(columns=list(dict.fromkeys(columns)))
        values = {column: table[column].to_pylist() for column in columns}
        names = _class_names(table.schema, columns)
    except SourceError:
        raise
    except Exception as error:  # pyarrow's errors and those of a damaged schema have no common base
        raise SourceError(f"{file} cannot be read as Parquet ({first_line(error)}).") from error
    for column, known in names.items():
        values[column] = [_named(value, known) for value in values[column]]
    return Table(list(zip(*(values[column] for column in columns), strict=True)), names)


def _class_names(schema: Any, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    from datasets import ClassLabel, Features

    features = Features.from_arrow_schema(schema)
    found = {}
    for column in columns:
        feature = getattr(features[column], "feature", features[column])  # of a list, what is in it
        if isinstance(feature, ClassLabel):
            found[column] = tuple(feature.names)
    return found


def _named(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value  # -1: a label that is hidden


_FORMATS: dict[str, Callable[[Path, Sequence[str]], Table]] = {
    ".csv": _delimited,
    ".tsv": _delimited,
    ".tab": _delimited,
    ".txt": _delimited,
    ".jsonl": _json,
    ".ndjson": _json,
    ".json": _json,
    ".parquet": _parquet,
}
