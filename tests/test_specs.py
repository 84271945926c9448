"""The little language of `--methods`."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.plugins.specs import Spec, parse, parse_all, split_list

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,8}", fullmatch=True)
KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
PRINTABLE = st.characters(
    blacklist_characters="[],", blacklist_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")
)
VALUES = st.text(PRINTABLE, min_size=1, max_size=8)
SPECS = st.builds(
    Spec, NAMES, st.dictionaries(KEYS, VALUES.map(str.strip).filter(bool), max_size=4).map(dict[str, str])
)


def written(spec: Spec) -> str:
    params = ",".join(f"{key}={value}" for key, value in spec.params.items())
    return f"{spec.name}[{params}]" if params else spec.name


@settings(max_examples=50)
@given(st.lists(SPECS, min_size=1, max_size=4, unique_by=written))
def test_what_is_written_is_what_is_read(specs: list[Spec]) -> None:
    assert parse_all(",".join(map(written, specs))) == specs
    assert parse_all(" , ".join(map(written, specs)) + " ,") == specs


@given(st.text("ab[]=,1 é", max_size=12))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    with suppress(UsageError):
        found = parse_all(text)
        assert found
        assert all(spec.name and "]" not in "".join(spec.params.values()) for spec in found)


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("pasta", [Spec("pasta", {})]),
        ("pasta[]", [Spec("pasta", {})]),
        ("peft:vera[r=64]", [Spec("peft:vera", {"r": "64"})]),
        ("lora[r=4,alpha=8],lora", [Spec("lora", {"r": "4", "alpha": "8"}), Spec("lora", {})]),
        (" lora [ r = 4 , ] ", None),
        ("lora[ r = 4 , ]", [Spec("lora", {"r": "4"})]),
        ("a[x=1=2]", [Spec("a", {"x": "1=2"})]),
        ("a,a,a[x=1],a[x=1]", [Spec("a", {}), Spec("a", {"x": "1"})]),
    ],
)
def test_by_hand(text: str, specs: list[Spec] | None) -> None:
    if specs is None:
        with pytest.raises(UsageError, match="does not start with a name"):
            parse_all(text)
    else:
        assert parse_all(text) == specs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "No name was given; write for example 'pasta,lora[r=4]'."),
        (" , ,", "No name was given"),
        ("a[[x=1]]", "The brackets in 'a[[x=1]]' do not match"),
        ("a]x[", "The brackets in 'a]x[' do not match"),
        ("a[x=1,b", "A bracket in 'a[x=1,b' is never closed"),
        ("a[x=1]b", "'a[x=1]b' goes on after its closing bracket"),
        ("a[x=1][y=2]", "'a[x=1][y=2]' goes on after its closing bracket"),
        ("[x=1]", "'[x=1]' does not start with a name"),
        ("a b", "'a b' does not start with a name"),
        ("a[x]", "'x' in 'a[x]' is not of the form key=value."),
        ("a[x=]", "'x=' in 'a[x=]' is not of the form key=value."),
        ("a[=1]", "'=1' in 'a[=1]' is not of the form key=value."),
        ("a[1x=1]", "'1x=1' in 'a[1x=1]' is not of the form key=value."),
        ("a[x=1,x=2]", "'x' is given twice in 'a[x=1,x=2]'."),
    ],
)
def test_what_is_wrong_is_named(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)):
        parse_all(text)


def test_split_list_keeps_order_and_repetition() -> None:
    assert split_list("b, a[x=1,y=2],,b") == ["b", "a[x=1,y=2]", "b"]


def test_parse_takes_one_entry_alone() -> None:
    with pytest.raises(UsageError, match="does not start with a name"):
        parse("a,b")
