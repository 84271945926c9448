"""Bad input from users ends in a sentence and no other exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import Bench

from bench import profiles
from bench.comparison import noise
from bench.errors import BenchError, ProfileError, UsageError
from bench.grid import models, suites
from bench.plugins import registry
from bench.plugins.specs import build_method, parse_all
from bench.sources.resolve import resolve

DEEP = "a = " + "[" * 5000
DIGITS = f"a = {'9' * 5000}"
DOTS = f"name{'.a' * 3000} = 1"
SUITE = 'name = "x"\nsummary = "x"\nmethods = ["head"]\ntasks = ["sms-spam"]\n[budget]\n'


def build(text: str) -> None:
    for spec in parse_all(text):
        build_method(registry.methods(), spec)


@pytest.mark.parametrize(
    "text",
    [
        "pasta[layers=0-99999999999999]",  # would take all memory
        "pasta[init_std=inf]", "pasta[init_std=nan]", "lora[alpha=1e400]",  # the identity of another cell
        "lora[targets=\udc80]", "lora[targets=a\x1b[31mb]", "lora[targets=a\u202eb]",  # cannot be read back or shown
        f"lora[r={'9' * 5000}]", "lora[r=1e3]",
    ],
)  # fmt: skip
def test_methods(text: str) -> None:
    with pytest.raises(UsageError) as error:
        build(text)
    error.value.args[0].encode()  # can be shown


@pytest.mark.parametrize(
    "content",
    [DEEP, DIGITS, DOTS, "\0", "a = 1979-13-01", "", "= 1", "a = inf", 'name = "\x1b"', b"\xff", None],
)
def test_toml_files(content: str | bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError):
        suites.load(str(file))
    with pytest.raises(ProfileError):
        profiles.load(file)


@pytest.mark.parametrize(
    "more",
    ["epochs_scale = inf", "epochs_scale = nan", "train_examples = 1e3\n[recipes.head]\nepochs = inf",
     "\n[recipes.head]\nlearning_rate = inf", "\n[recipes.head]\nepochs = nan"],
)  # fmt: skip
def test_a_suite_with_infinite_training_is_refused(more: str, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(SUITE)
    suites.load(str(file))
    file.write_text(SUITE + more)
    with pytest.raises(UsageError):
        suites.load(str(file))


@pytest.mark.parametrize("name", ["a" * 5000, "./absent", "~nosuchuser/x", "./a\0b", "~\ud800/x", "", "a\x1b[31m"])
def test_models_and_suites_of_impossible_names(name: str) -> None:
    with pytest.raises(BenchError):
        resolve(models.find(name).source)
    with pytest.raises(UsageError):
        suites.load(name)


@pytest.mark.parametrize(
    "text",
    ["[" * 9999, "{", "NaN", "[]", "null", "9" * 5000, '{"schema_version": 1}', "\udc80"],
)
def test_noise_files(text: str, tmp_path: Path) -> None:
    file = tmp_path / "noise.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError):
        noise.load(file)


@pytest.mark.parametrize(
    "wrong",
    [{"between_df": 0}, {"within_sd": 1e200}, {"within_df": 10**400}, {"between_sd": -1}, {"cells": 0},
     {"within_df": 0}],
)  # fmt: skip
def test_impossible_noise(wrong: dict[str, float]) -> None:
    sound = {"between_sd": 0.1, "within_sd": 0.1, "between_df": 4, "within_df": 20, "cells": 6}
    spread = noise.Spread.model_validate(sound)
    assert noise.ratio_test([0.1], spread, None) is not None
    with pytest.raises(ValueError, match="validation error"):
        noise.Spread.model_validate({**sound, **wrong})


def test_an_error_that_quotes_a_name_does_not_control_the_terminal(bench: Bench, tmp_path: Path) -> None:
    done = bench("report", tmp_path / "\x1b[2Jred\u202e\nError: nothing is wrong")
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err
    assert done.err.count("\n") == 1
