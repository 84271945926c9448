"""Tag schemes of entities: which one a data set has, and its tags in BIO, by which entities are scored.

IOB1   I-x inside an entity; B-x only where one begins right after another of its type
BIO    B-x at the start of every entity, I-x inside (also called IOB2)
BIOES  as BIO, with E-x at the end, and S-x for an entity of one word
BILOU  as BIO, with L-x (last) at the end, and U-x (unit) for an entity of one word
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

Scheme = Literal["IOB1", "BIO", "BIOES", "BILOU"]
_OUTSIDE = ("O", "")
_ENDS: dict[Scheme, str] = {"BIOES": "ES", "BILOU": "LU"}


def scheme_of(rows: Sequence[Sequence[str]]) -> Scheme | None:
    """The scheme of all rows of a data set together; None: its tags name no entities.

    E- or S- make it BIOES, L- or U- BILOU. Without these it is BIO if any B-x stands where IOB1 has none: anywhere but
    right after an entity of its type. Otherwise it is IOB1, also where there is no B- at all; BIO without any entity.
    """
    tags = {tag for row in rows for tag in row}
    prefixes = {_parts(tag)[0] for tag in tags}
    if not prefixes <= set("OBIESLU"):
        return None
    ends: list[Scheme] = [name for name, own in _ENDS.items() if prefixes & set(own)]
    if ends:
        return ends[0] if len(ends) == 1 else None
    begins = {prefix for row in rows for (prefix, kind), (_, before) in _pairs(row) if prefix != "O" and kind != before}
    return "IOB1" if begins == {"I"} else "BIO"


def to_bio(rows: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The tags of all rows of a data set in BIO; those of BIO as they are.

    Where a row breaks its scheme, an entity begins at a tag that continues none, as in the CoNLL rule.

    Raises:
        ValueError: if the tags name no entities.
    """
    scheme = scheme_of(rows)
    if scheme is None:
        raise ValueError(
            "the tags are in none of IOB1, BIO, BIOES and BILOU; the metrics token_accuracy and token_f1_macro score "
            "tags of any kind"
        )
    return [tuple(row) if scheme == "BIO" else tuple(_in_bio(row)) for row in rows]


def _in_bio(row: Sequence[str]) -> Iterator[str]:
    inside = ""  # the type of the entity that the next word may continue
    for prefix, kind in map(_parts, row):
        if prefix == "O":
            yield "O"
        else:
            yield f"{'I' if prefix in 'IEL' and kind == inside else 'B'}-{kind}"
        inside = kind if prefix in "BI" else ""


def _pairs(row: Sequence[str]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Each tag, and the one before it."""
    parts = [_OUTSIDE, *map(_parts, row)]
    return zip(parts[1:], parts, strict=False)


def _parts(tag: str) -> tuple[str, str]:
    """Prefix and type. What is no tag of an entity has itself as its prefix."""
    if tag == "O":
        return _OUTSIDE
    prefix, dash, kind = tag.partition("-")
    return (prefix, kind) if prefix in "BIESLU" and dash and kind else (f"{tag}?", "")
