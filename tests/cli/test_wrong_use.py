"""One sentence and exit code 2 for each wrong use of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import Bench, run_options
from tiny_grid import TinyGrid

from bench.errors import UsageError
from bench.runner.options import Seeds
from bench.runner.request import parse_seeds

WRONG: dict[str, tuple[dict[str, object], str]] = {
    "method": ({"methods": "stedy"}, "There is no method 'stedy'; did you mean 'steady'? There are: adapters, bitfit"),
    "spec": ({"methods": "steady[width"}, "'steady[width' is not of the form name"),
    "no method": ({"methods": ""}, "No name was given"),
    "parameter": ({"methods": "steady[widht=2]"}, "steady: there is no parameter 'widht', did you mean 'width'?"),
    "value": ({"methods": "steady[width=x]"}, "steady: width='x' is not allowed: input should be a valid integer"),
    "task": ({"tasks": "tny"}, "There is no task 'tny'; did you mean 'tiny'?"),
    "own task": ({"tasks": "mine"}, "A task of your own needs --plugin FILE."),
    "no task": ({"tasks": " , "}, "No task was given; `python -m bench list tasks` shows them"),
    "model": ({"model": "minilm"}, "There is no model 'minilm'; did you mean 'minilm-l6'?"),
    "model folder": ({"model": "./nowhere"}, "There is no file or folder nowhere"),
    "profile": ({"profile": "cpuu"}, "There is no profile 'cpuu'; did you mean 'cpu'?"),
    "profile file": ({"profile": "./no.toml"}, "Profile file ./no.toml cannot be read"),
    "suite": ({"suite": "quik"}, "There is no suite 'quik'; did you mean 'quick'?"),
    "preset": ({"suite": None, "preset": "qick"}, "There is no preset 'qick'; did you mean 'quick'?"),
    "both": ({"preset": "quick"}, "Give --suite or --preset, not both"),
    "pooling": ({"pooling": "max"}, "--pooling 'max': there are model, cls, mean."),
    "executor": ({"executor": "rai"}, "There is no executor 'rai'; there are: local, ray."),
    "address": ({"ray-address": "auto"}, "--ray-address goes with --executor ray"),
    "workers": ({"workers": 0}, "--workers 0: at least one worker is needed"),
    "too many": ({"workers": 100}, "Profile tiny-cpu-100w cannot be honoured here: needs 100 cores"),
    "seeds": ({"seeds": "a"}, "--seeds 'a' is neither a count (3) nor a list of numbers from 0 up (0,1,2)"),
    "plugin": ({"plugin": "no.py"}, "there is no Python or TOML file of that name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_sentence_and_code_2(case: str, bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    changed, reason = WRONG[case]
    done = bench(*run_options(grid, tmp_path / "results", **changed))
    assert (done.code, done.out) == (2, "")
    sentence = done.err.splitlines()[-1]
    assert sentence.startswith("Error: ")
    assert reason in sentence
    assert "Traceback" not in done.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "--nonsense"], "No such option"),
        (["run", "--timeout", "0"], "Invalid value"),
        (["run", "--workers", "two"], "Invalid value"),
        (["rum"], "No such command"),
        (["plan", "--methods", "pasto"], "There is no method 'pasto'; did you mean 'pasta'?"),
        (["plan", "--model", "bert-large"], "There is no model 'bert-large'"),
        (["tune", "--tasks", "sms-spm"], "There is no task 'sms-spm'; did you mean 'sms-spam'?"),
        (["noise", "--results", "nowhere", "--suite", "quik"], "There is no suite 'quik'; did you mean 'quick'?"),
        (["list", "method"], "There is nothing called 'method' to list; did you mean 'methods'?"),
        (["leaderboard", "nowhere"], "There is no results folder nowhere; `python -m bench run` makes one."),
        (["verify", "abc", "--results", "nowhere"], "No cell of nowhere has an id that starts with 'abc'."),
        (["check", "pasat"], "There is no plugin 'pasat'; did you mean 'pasta'?"),
        (["check", "sms-spm"], "There is no plugin 'sms-spm'; did you mean 'sms-spam'?"),
        (["check", "lora[q=4]"], "lora: there is no parameter 'q'"),
        (["check", "sms-spam[a=1]"], "A task has no parameters: write 'sms-spam'"),
        (["check", "nowhere.py"], "there is no Python or TOML file of that name"),
        (["check", "pasta", "--model", "minilm"], "There is no model 'minilm'; did you mean 'minilm-l6'?"),
        (["fetch", "--tasks", "sms-spm"], "There is no task 'sms-spm'; did you mean 'sms-spam'?"),
        (["fetch", "--model", "hub:a/b@"], "'hub:a/b@' is malformed"),
    ],
)
def test_wrong_use_of_other_commands_too(arguments: list[str], reason: str, bench: Bench) -> None:
    done = bench(*arguments)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("given", "seeds"),
    [("3", [0, 1, 2]), ("1", [0]), ("0,1", [0, 1]), ("5,", [5]), ("0,", [0]), ("7, 3,7", [7, 3]), (" 2 ", [0, 1]),
     (2, [0, 1]), ([0, 7], [0, 7]), (range(5, 7), [5, 6])],
)  # fmt: skip
def test_seeds(given: Seeds, seeds: list[int]) -> None:
    assert parse_seeds(given) == seeds


@pytest.mark.parametrize(
    "given", ["", ",", "0", "-1", "0,-1", "a", "1.5", "1;2", "1e3", "20260101", 0, 20260101, [-1], []]
)
def test_wrong_seeds(given: Seeds) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        parse_seeds(given)


def test_a_broken_plugin_is_named_and_the_rest_works(bench: Bench, grid: TinyGrid, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise LookupError('no luck [/red]')")
    done = bench(*run_options(grid, tmp_path / "r"), "--plugin", broken, "--dry-run", "--json")
    assert done.code == 0
    assert "Not usable: method broken: LookupError: no luck [/red]" in done.err
    assert len(json.loads(done.out)) == 2
