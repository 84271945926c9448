"""What the benchmarks share. With `--benchmark-enable` they use every core and a model of minilm-l6's size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny as tiny_bert
import tiny_setting
import torch
from contenders import Setting

from bench.grid import models
from bench.profiles.probe import cpu_cores_allowed
from bench.train.model import quiet_libraries


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny matrices gain nothing from threads."""
    torch.set_num_threads(1)
    quiet_libraries()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tiny_bert.Tiny:
    """The tests' tiny BERT."""
    return tiny_bert.Tiny(tiny_bert.save(tmp_path_factory.mktemp("tiny-bert")))


@pytest.fixture
def all_cores(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every core where times are taken."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if request.config.getoption("benchmark_disable") else cpu_cores_allowed())
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Setting:
    """A made-up classification on random weights: of minilm-l6's shape where times are taken, else tiny."""
    options = tiny_setting.write(tmp_path_factory.mktemp("setting"))
    model, plugin = Path(options["--model"]), Path(options["--plugin"])
    if not request.config.getoption("benchmark_disable"):
        large(model)
    return Setting(model, options["--task"], plugin, (plugin,))


def large(folder: Path) -> None:
    """Put random weights of the default model's shape in place of a tiny model's; its tokenizer stays."""
    from transformers import BertConfig, BertModel

    shape: Any = models.find("minilm-l6").shape
    config = BertConfig(**{**shape.config, "vocab_size": len(tiny_bert.VOCAB)})
    BertModel(config).save_pretrained(folder)
