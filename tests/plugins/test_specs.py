"""Methods as the command line writes them, and their parameters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.plugins import Method, Params, registry
from bench.plugins.registry import Found, Registry
from bench.plugins.specs import Spec, build_method, changed_params, describe_params, parse, parse_all


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("pasta", [Spec("pasta", {})]),
        ("pasta[]", [Spec("pasta", {})]),
        ("peft:vera[r=64]", [Spec("peft:vera", {"r": "64"})]),
        ("lora[r=4,alpha=8],lora", [Spec("lora", {"r": "4", "alpha": "8"}), Spec("lora", {})]),
        ("lora[ r = 4 , ]", [Spec("lora", {"r": "4"})]),
        (" a[x=1=2] , b-1.2_c[y=é+~;]", [Spec("a", {"x": "1=2"}), Spec("b-1.2_c", {"y": "é+~;"})]),
        ("a,a,a[x=1],a[x=1]", [Spec("a", {}), Spec("a", {"x": "1"})]),
    ],
)
def test_by_hand(text: str, specs: list[Spec]) -> None:
    assert parse_all(text) == specs


@pytest.mark.parametrize("text", ["", " , ,"])
def test_no_name_at_all(text: str) -> None:
    with pytest.raises(UsageError, match=r"^No name was given; write for example 'pasta,lora\[r=4\]'\.$"):
        parse_all(text)


@pytest.mark.parametrize("text", ["a[[x=1]]", "a]x[", "a[x=1,b", "a[x=1]b", "a[x=1][y=2]", "[x=1]", "a b", "a [r=4]"])
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^'.*' is not of the form name or name\[key=value,\.\.\.\]; write for"):
        parse_all(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a[x]", "'x' in 'a[x]' is not of the form key=value."),
        ("a[x=]", "'x=' in 'a[x=]' is not of the form key=value."),
        ("a[=1]", "'=1' in 'a[=1]' is not of the form key=value."),
        ("a[1x=1]", "'1x=1' in 'a[1x=1]' is not of the form key=value."),
        ("a[x=1,x=2]", "'x' is given twice in 'a[x=1,x=2]'."),
    ],
)
def test_a_wrong_pair_is_named(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(reason)}$"):
        parse_all(text)


# Parameters


class GoodParams(Params):
    rank: int = 8
    targets: tuple[str, ...] = ("query", "value")
    shared: bool = False
    scale: float | None = None


class Good(Method):
    name = "good"
    Params = GoodParams


GOOD = Registry(Method, {"good": Found(Good, Path(), "here")})


@pytest.mark.parametrize(
    ("text", "params", "variant"),
    [
        ("good", {"rank": 8, "targets": ("query", "value"), "shared": False, "scale": None}, ""),
        ("good[rank=8]", {"rank": 8}, ""),
        ("good[rank=4,shared=true]", {"rank": 4, "shared": True}, "rank=4,shared=true"),
        ("good[shared=true,rank=4]", {"rank": 4, "shared": True}, "rank=4,shared=true"),
        ("good[scale=0.5]", {"scale": 0.5}, "scale=0.5"),
    ],
)
def test_parameters_are_typed_and_variants_named(text: str, params: dict[str, object], variant: str) -> None:
    method = build_method(GOOD, parse(text))
    assert method.params.model_dump().items() >= params.items()
    assert changed_params(method.params) == variant


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"rnak": "4"}, "good: there is no parameter 'rnak', did you mean 'rank'? Allowed: rank: int = 8, "),
        ({"zzz": "4"}, "good: there is no parameter 'zzz'. Allowed: rank: int = 8, "),
        ({"rank": "four"}, "good: rank='four' is not allowed: input should be a valid integer"),
        ({"rank": "4.5"}, "good: rank='4.5' is not allowed: input should be a valid integer"),
        ({"shared": "maybe"}, "good: shared='maybe' is not allowed: input should be a valid boolean"),
    ],
)
def test_a_wrong_parameter_is_named_with_the_allowed_ones(params: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        build_method(GOOD, Spec("good", params))
    assert "\n" not in str(caught.value)
    assert "shared: bool = false" in str(caught.value)


def test_a_method_without_parameters_says_so() -> None:
    with pytest.raises(UsageError, match=r"^full: there is no parameter 'r'\. Allowed: none\.$"):
        build_method(registry.methods(), parse("full[r=1]"))


def test_variants_are_what_the_command_line_takes() -> None:
    """What a table shows as a variant can be pasted back; the defaults of every method here are no variant."""
    found = registry.methods()
    for name in found.names():
        assert changed_params(build_method(found, Spec(name, {})).params) == ""
    lora = build_method(found, parse("lora[r=4]"))
    assert build_method(found, parse(f"lora[{changed_params(lora.params)}]")).params == lora.params
    assert describe_params(found.get("lora").plugin)["r"].startswith("int")
