"""A task declared in TOML: columns of a table, and what the harness must know of them.

A declaration is checked when its file is found. Labels that it does not name are known once the data are read.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bench.errors import PluginError, SourceError, first_error
from bench.plugins import tables, tags
from bench.plugins.splits import Cut, cut, official
from bench.plugins.task import SPLITS, Example, Kind, Splits, Task
from bench.sources.references import REMOTE
from bench.suggestions import suggest

FOR_PEOPLE = ("summary", "citation")
DEFAULT_METRICS: dict[Kind, str] = {
    "classification": "accuracy",
    "multi-label": "f1_micro",
    "regression": "spearman",
    "token-classification": "entity_f1",
}
HOLDS = {"0": False, "false": False, "1": True, "true": True}  # in a column of one label
MANY = 20  # distinct labels, from which on a column may be one of numbers or of texts
_NAME = re.compile(r"\w[\w.+-]*")


class Declaration(BaseModel):
    """The keys of a task's TOML file, which docs/plugins.md explains."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    kind: Kind = "classification"
    source: str = Field(min_length=1)
    text: str = "text"
    pair: str | None = None
    label: str | list[str] = "label"
    separator: str | None = Field(None, min_length=1)
    labels: list[str | int | bool] = []
    metric: str = ""
    validation: int | float = 0.1
    test: int | float = 0.2
    splits: dict[str, str] = {}
    max_length: int = 128
    summary: str = ""
    citation: str = ""

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} has other signs than letters, digits, '_', '.', '+' and '-'")
        return name

    @field_validator("validation", "test")
    @classmethod
    def _possible(cls, size: int | float) -> int | float:
        if not (0 < size < 1 if isinstance(size, float) else size >= 1):
            raise ValueError(f"{size} is neither a share between 0 and 1 nor a number of examples")
        return size

    @model_validator(mode="after")
    def _consistent(self) -> Declaration:
        several = isinstance(self.label, list)
        if (several or self.separator) and self.kind != "multi-label":
            raise ValueError('several columns of labels, and a separator, are for kind = "multi-label"')
        if several and (len(self.label) < 2 or self.labels or self.separator):
            raise ValueError(
                "with a column for each label there are two at least, which are the labels, and no separator"
            )
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"text, pair and label must be different columns, and are {', '.join(self.columns)}")
        if self.splits and not {"train", "test"} <= self.splits.keys():
            raise ValueError(
                "[splits] must say which train and test are; validation is cut from train where it does not"
            )
        return self

    @property
    def columns(self) -> list[str]:
        labels = self.label if isinstance(self.label, list) else [self.label]
        return [*labels, self.text, *([self.pair] if self.pair is not None else [])]


class Row(NamedTuple):
    """A row. place: for messages. label: a list if of several columns. texts: the text, and that of a pair."""

    place: str
    label: Any
    texts: tuple[Any, ...]


class TableTask(Task):
    """The base of the classes that `load` makes. file: the declaration's."""

    declared: ClassVar[Declaration]
    file: ClassVar[Path]

    def read(self, path: Path) -> Splits:
        """Read, match the labels, and cut the table or take the official splits.

        Raises:
            SourceError: that names the column, row or label that does not fit.
        """
        files = tables.split_files(path, self.declared.splits)
        names, found = _rows(self.declared, files)
        rows = {split: [row for row in part if self._is_complete(row)] for split, part in found.items()}
        total, kept = (sum(map(len, each.values())) for each in (found, rows))
        if kept == 0:
            raise SourceError(f"None of the {total:,} rows of {path} has both a text and a label.")
        every = [row for part in rows.values() for row in part]
        notes: list[str] = []
        labels = iter(
            [_number(row) for row in every] if self.kind == "regression" else self._indices(every, names, notes)
        )
        splits = self._split(
            {split: [self._example(row, next(labels)) for row in part] for split, part in rows.items()}, notes
        )
        splits.dropped = total - kept
        splits.notes = notes
        return splits

    def _is_complete(self, row: Row) -> bool:
        """Whether it has a label and texts that are not blank (for token classification, lists of words)."""
        labels = row.label if isinstance(self.declared.label, list) else [row.label]
        if self.kind == "multi-label" and row.label == "":  # none of its labels holds
            labels = []
        return not any(map(_is_missing, (*row.texts, *labels))) and [] not in row.texts

    def _indices(self, rows: list[Row], names: Sequence[str], notes: list[str]) -> list[int] | list[tuple[int, ...]]:
        """The label of each row, or those of its words. `labels` are known from here on."""
        called: list[Any] = [self._names(row) for row in rows]
        if self.kind == "token-classification" and self.metric == "entity_f1" and self.labels_in_data:
            called = self._in_bio(called, notes)
        counts = Counter(chain.from_iterable(called))
        if self.labels_in_data:
            are_named = names and counts.keys() <= set(names) and not notes  # tags that were converted are others
            self.labels = tuple(names) if are_named else self._found_labels(counts)
        index = {name: at for at, name in enumerate(self.labels)}
        if not counts.keys() & index.keys():  # then they may be positions
            index = {str(at): at for at in range(len(self.labels))}
        for row, found in zip(rows, called, strict=True):
            if (wrong := next((name for name in found if name not in index), None)) is not None:
                hidden = " -1 hides the labels of a split; [splits] can name another one." if wrong == "-1" else ""
                raise SourceError(f"{row.place}: there is no label {wrong!r}{suggest(wrong, self.labels)}{hidden}")
        indices = [tuple(index[name] for name in found) for found in called]
        if self.kind == "multi-label":
            return [tuple(sorted(set(found))) for found in indices]
        return indices if self.kind == "token-classification" else [found[0] for found in indices]

    def _names(self, row: Row) -> list[str]:
        """What the label of a row, the labels that hold, or those of its words are called."""
        label, columns, separator = row.label, self.declared.label, self.declared.separator
        if self.kind == "token-classification" and not (isinstance(label, list) and isinstance(row.texts[0], list)):
            raise SourceError(f"{row.place}: for token classification, text and label must be lists of words and tags.")
        try:
            if isinstance(columns, list):
                return [name for name, value in zip(columns, label, strict=True) if HOLDS[_label_name(value).lower()]]
            if self.kind == "multi-label" and isinstance(label, str):
                if separator is None:
                    raise SourceError(
                        f'{row.place}: {label!r} is no list; say what separates its labels, such as separator = ";" '
                        "(--separator)."
                    )
                return [name for each in label.split(separator) if (name := each.strip())]
            return [_label_name(each) for each in ((label,) if self.kind == "classification" else label)]
        except (KeyError, TypeError, ValueError):
            raise SourceError(f"{row.place}: {label!r} is no label of a {self.kind} task.") from None

    def _in_bio(self, rows: list[list[str]], notes: list[str]) -> list[tuple[str, ...]]:
        try:
            converted = tags.to_bio(rows)
        except ValueError as error:
            raise SourceError(f"The column {self.declared.label!r} of {self.name} cannot be scored: {error}.") from None
        if (scheme := tags.scheme_of(rows)) != "BIO":
            notes.append(f"the tags are {scheme}, and were converted to BIO")
        return converted

    def _found_labels(self, counts: Counter[str]) -> tuple[str, ...]:
        """The labels of the data: numbers in their order, O before the tags of entities, others by the alphabet."""
        column, total = self.declared.label, counts.total()
        numbers = {name: number for name in counts if (number := _as_number(name)) is not None}
        if len(counts) < 2:
            raise SourceError(f"The column {column!r} of {self.name} has no two labels: {', '.join(counts) or 'none'}.")
        if len(numbers) == len(counts):
            if (
                self.kind == "classification"
                and len(counts) > MANY
                and (len(counts) > total / 2 or any(number % 1 for number in numbers.values()))
            ):
                raise SourceError(
                    f"The column {column!r} of {self.name} has {len(counts):,} distinct numbers in {total:,} examples, "
                    'as a quantity has: say kind = "regression" (--kind regression), or list them as labels.'
                )
            return tuple(sorted(counts, key=numbers.__getitem__))
        if self.kind == "classification" and len(counts) > max(MANY, total / 2):
            raise SourceError(
                f"The column {column!r} of {self.name} has {len(counts):,} distinct values in {total:,} examples, as a "
                "column of texts has: name the column of the labels."
            )
        if self.kind == "token-classification":
            return tuple(sorted(counts, key=lambda tag: (tag != "O", tag[2:], tag)))
        return tuple(sorted(counts))

    def _example(self, row: Row, label: Any) -> Example:
        texts = row.texts
        if self.kind == "token-classification":
            if len(texts[0]) != len(row.label):
                raise SourceError(f"{row.place}: {len(row.label)} tags for {len(texts[0])} words.")
            return Example(tuple(_text(row, word) for word in texts[0]), label)
        return Example(_text(row, texts[0]), label, *(_text(row, text) for text in texts[1:]))

    def _split(self, examples: dict[str, list[Example]], notes: list[str]) -> Cut:
        validation, test = self.declared.validation, self.declared.test
        if "" not in examples:
            held_out = examples.get("validation", validation)
            extra = {name: examples[name] for name in self.extra_tests}
            return official(examples["train"], examples["test"], salt=self.name, validation=held_out, extra_tests=extra)
        try:
            try:
                return cut(examples[""], salt=self.name, validation=validation, test=test)
            except ValueError as error:  # one template throughout
                notes.append(f"near-duplicates are in several splits, because {str(error).partition(' (ask')[0]}")
                return cut(examples[""], salt=self.name, validation=validation, test=test, by_cluster=False)
        except ValueError as error:
            raise SourceError(
                f"{self.name} cannot be cut into splits: {error}; ask for less in validation and test."
            ) from None


def load(file: Path) -> type[Task]:
    """The task that a TOML file declares: one class for one file and text.

    Raises:
        PluginError: that names what is wrong.
    """
    try:
        return _loaded(file, file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PluginError(f"it cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise PluginError(f"it is not UTF-8 ({error})") from None


@lru_cache(maxsize=256)
def _loaded(file: Path, text: str) -> type[Task]:
    return made(file, declaration(_parsed(text)))


def made(file: Path, declared: Declaration) -> type[Task]:
    """The class of a declaration; file: where it stands, from whose folder its source begins."""
    attributes = {
        **declared.model_dump(include={"name", "kind", "summary", "max_length"}),
        "declared": declared,
        "file": file,
        "pair": declared.pair is not None,
        "source": _source(declared, file.parent),
        "labels": tuple(map(_label_name, declared.label if isinstance(declared.label, list) else declared.labels)),
        "labels_in_data": declared.kind != "regression" and not declared.labels and isinstance(declared.label, str),
        "metric": declared.metric or DEFAULT_METRICS[declared.kind],
        "extra_tests": tuple(name for name in declared.splits if name not in SPLITS),
        "citation": declared.citation or f"the user's own data, {Path(declared.source).name}",
    }
    return type(declared.name, (TableTask,), attributes)


def declaration(values: Mapping[str, Any]) -> Declaration:
    """What is declared, as far as it can be checked without the data; a PluginError says what is wrong."""
    try:
        return Declaration(**values)
    except ValidationError as error:
        key, message = first_error(error)
        message = message.removeprefix("Value error, ")
        message = f"{key}: {message}" if key else message
        if error.errors()[0]["type"] == "extra_forbidden":
            message = f"there is no key {key!r}{suggest(key, Declaration.model_fields)}"
        elif error.errors()[0]["type"] == "missing":
            message = f"the key {key!r} is missing"
        raise PluginError(message) from None


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PluginError(f"it is not TOML ({error})") from None


def meaning(file: Path) -> str:
    """What a file declares, without texts for people and without a path: data are known by their content's digest."""
    values = {key: value for key, value in _parsed(file.read_text(encoding="utf-8")).items() if key not in FOR_PEOPLE}
    if not str(values.get("source")).startswith(REMOTE):
        values.pop("source", None)
    return json.dumps(values, sort_keys=True, default=str)


def _source(declared: Declaration, folder: Path) -> str:
    """The source as `bench.sources` takes it: a relative path begins in the TOML file's folder."""
    if declared.source.startswith(REMOTE):
        return declared.source
    return str(folder / Path(declared.source).expanduser())


def _rows(declared: Declaration, files: Mapping[str, Iterable[Path]]) -> tuple[tuple[str, ...], dict[str, list[Row]]]:
    """The names of the labels, where the files say them, and the rows of each split."""
    first = 1 if isinstance(declared.label, str) else len(declared.label)  # column of texts
    names: tuple[str, ...] = ()
    rows: dict[str, list[Row]] = {}
    for split, parts in files.items():
        rows[split] = []
        for file in parts:
            table = tables.read(file, declared.columns)
            for at, values in enumerate(table.rows, start=1):
                label = values[0] if isinstance(declared.label, str) else list(values[: len(declared.label)])
                rows[split].append(Row(f"{file}, row {at}", label, values[first:]))
            if isinstance(declared.label, str):
                names = table.names.get(declared.label, names)
    return names, rows


def _is_missing(value: Any) -> bool:
    """Whether a cell is blank; a file that pandas wrote may have NaN in it."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _text(row: Row, value: Any) -> str:
    if not isinstance(value, str) or (not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value)):
        raise SourceError(f"{row.place}: {value!r} is not a text.")
    return value


def _label_name(value: Any) -> str:
    """A label as it is called: 1, 1.0 and "1" are one label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and math.isfinite(value):
        return str(int(value) if value == int(value) else value)
    if isinstance(value, str):
        return value.strip()
    raise ValueError(value)


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _number(row: Row) -> float:
    number = None if isinstance(row.label, bool) else _as_number(str(row.label))
    if number is None:
        raise SourceError(f"{row.place}: {row.label!r} is not a number with a decimal point.")
    return number
