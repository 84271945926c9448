"""One target for each thing that is read from outside. A target takes bytes and returns whether they were accepted.

Bad input must end as a BenchError: a sentence that says what is wrong. Any other exception is a finding. What is
accepted is used, too: a record that is read must also stand in every table.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from bench.errors import BenchError
from fuzz.choices import Choices, altered


@dataclass(frozen=True)
class Target:
    """A name, what is done with bytes, and bytes to begin with. check raises BenchError for bad input."""

    name: str
    check: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]

    def run(self, data: bytes) -> bool:
        """Whether the input was accepted. Raises whatever is a finding."""
        try:
            self.check(data)
        except BenchError as error:
            # It is shown as one sentence: that it can be made and encoded is part of the promise.
            from bench.escaping import one_line

            one_line(str(error)).encode()
            return False
        return True


@cache
def _scratch() -> Path:
    """A folder in memory, where there is one: targets write a file for each input."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="bench-fuzz-", dir=memory if os.access(memory, os.W_OK) else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextlib.contextmanager
def _file(name: str, data: bytes) -> Iterator[Path]:
    """A file of this content, alone in a folder."""
    folder = _scratch() / "one"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / name
    path.write_bytes(data)
    yield path


def _text(data: bytes) -> str:
    """As the command line gets it: what is no UTF-8 comes as half characters."""
    return data.decode("utf-8", "surrogateescape")


def _cell(recipe: dict[str, Any]) -> Any:
    """A cell with these settings of its recipe."""
    from bench.grid import Cell
    from bench.profiles import load
    from bench.suites import Budget

    return Cell(
        method="head", params={"r": 4, "names": ["a", "b"]}, variant="", task="sms-spam", task_source="./sms.csv",
        task_revision="tree-sha256:aa", model="minilm-l6", model_source="./minilm", model_revision="tree-sha256:bb",
        profile=load("cpu-2core"), preset="quick", budget=Budget(train_examples=100), recipe=recipe, seed=0,
        code="0123456789abcdef",
    )  # fmt: skip


# What a user writes


def _specs(data: bytes) -> object:
    from bench import registry
    from bench.specs import parse_all

    return [registry.build_method(_methods(), spec) for spec in parse_all(_text(data))]


@cache
def _methods() -> Any:
    from bench import registry

    return registry.methods()


def _specs_seeds() -> list[bytes]:
    return [
        b"pasta[tokens=cls,share_layers=true,layers=0-2+5,init_std=0,dropout=0.1],head",
        b"lora[r=4,alpha=8,dropout=0.1,targets=query+value],prompt_tuning[tokens=5]",
        b"peft:vera[r=64],peft:lora[use_dora=true,init_lora_weights=gaussian,layers_to_transform=0+1]",
        b"adapters[placement=pfeiffer,bottleneck=8,layer_norms=true]",
    ]


def _options(data: bytes) -> object:
    from bench.cli.common import parse_seeds
    from bench.quantities import parse_threshold, with_thresholds

    kind, text = data[:1], _text(data[1:])
    if kind == b"s":
        return parse_seeds(text)
    if kind == b"t":
        return with_thresholds(dict([parse_threshold(text)]))
    from bench import models, suites

    return models.find(text) if kind == b"m" else suites.load(text)


def _options_seeds() -> list[bytes]:
    return [b"s0,1,2", b"s3", b"tadapter_bytes=5%", b"tscore=0.02", b"m./model", b"m~/model", b"mminilm-l6", b"uci"]


def _profiles(data: bytes) -> object:
    from bench import profiles

    with _file("other.toml", data) as path:
        found = profiles.load(path)
    return found.with_workers(3).model_dump_json()


def _profiles_seeds() -> list[bytes]:
    from bench import profiles

    return [file.read_bytes() for file in Path(profiles.__file__).parent.glob("*.toml")]


def _suites(data: bytes) -> object:
    from bench import suites
    from bench.asking import ask
    from bench.method import Recipe

    with _file("suite.toml", data) as path:
        request = ask(suite=str(path))
    recipe = Recipe(learning_rate=1, epochs=1, chosen_by="nobody")
    for task in request.tasks:
        for spec in request.methods:
            changed = request.suite.recipe(task, spec.name)
            suites.settled(recipe, changed, request.suite.name, request.suite.budget, "cpu").model_dump_json()
    return request


def _suites_seeds() -> list[bytes]:
    import suites

    return [file.read_bytes() for file in Path(str(suites.__file__)).parent.glob("*.toml")]


def _recipes(data: bytes) -> object:
    """A file of tuned recipes, as a run takes it: what is in it becomes part of a cell and of its recipe."""
    from bench import suites
    from bench.method import Recipe
    from bench.recipes import Book, file_name

    with _file(file_name("lora"), data) as path:
        book, suite = Book("lora", None, path.parent), suites.load("quick")
        for variant, task in (("", "sms-spam"), ("r=1", "sms-spam"), ("", "us-address")):
            changed = book.settings(variant, task, suite)
            _cell(changed).model_dump_json()
            recipe = Recipe(learning_rate=1, epochs=1, chosen_by="nobody")
            suites.settled(recipe, changed, suite.name, suite.budget, "cpu").model_dump_json()
    return book


def _recipes_seeds() -> list[bytes]:
    from bench.recipes import File, Tuned

    settings = {"learning_rate": 0.02, "dropout": None, "chosen_by": "tune", "trials": 7, "trial_examples": 8000}
    made = [
        Tuned(method=method, task=task, model="minilm-l6", settings=settings, trials=("0" * 16,))
        for method, task in (("lora", "sms-spam"), ("lora[r=1]", "sms-spam"), ("lora", None))
    ]
    return [File(recipes=tuple(made)).model_dump_json().encode()]


def _references(data: bytes) -> object:
    from bench import sources

    mirror = _scratch() / "mirror"
    mirror.mkdir(exist_ok=True)
    ref = _text(data)
    found = sources.parse(ref)
    if isinstance(found, sources.PathRef):  # other folders of this machine are no business of a fuzzer
        return None
    with mock.patch.dict(os.environ, BENCH_CACHE=str(_scratch() / "cache")):
        return sources.local(ref, mirror)


def _references_seeds() -> list[bytes]:
    digest = b"0" * 64
    return [
        b"package:demo==1.0!/folder/file.txt#sha256=" + digest,
        b"hub:owner/name@main!/folder",
        b"hub:datasets/owner/name@refs/convert/parquet",
        b"./folder",
        b"~user/folder",
    ]


# What others send


def _record(data: bytes) -> object:
    """A record's own bytes, read as a file of a results folder."""
    from bench.store import Store, StoreError

    with _file("0123456789abcdef.json", data) as path:
        records = path.parent / "records"
        records.mkdir()
        path.rename(records / path.name)
        store = Store(path.parent)
        found, faults = store.all()
        for fault in faults:
            raise StoreError(fault)
    return [record.to_json() for record in found]


def _record_seeds() -> list[bytes]:
    return [json.dumps(_whole_record()).encode()]


def _records(data: bytes) -> object:
    """Several records with parts replaced by other things: what is read stands in every table and on the page."""
    from bench import report
    from bench.compare import formats, judging
    from bench.compare.junit import as_junit
    from bench.leaderboard import Boards, files
    from bench.merging import merge
    from bench.progress import outcome_line
    from bench.store import Store
    from bench.tables import leaderboard_table, legend, overall_table, pairs_table

    choices = Choices(data)
    folder = _scratch() / "results"
    shutil.rmtree(folder, ignore_errors=True)
    for side in ("base", "new"):
        records = folder / side / "records"
        records.mkdir(parents=True)
        for at in range(choices.number(1, 4)):
            content = _whole_record(seed=at % 3, method=("head", "lora")[at // 3])
            for _ in range(choices.number(0, 4)):
                content = altered(content, choices)
            # Of two that say they are one cell the other one is a fault; most should be read.
            name = f"{at:016x}"
            if isinstance(content, dict) and choices.number(0, 7) < 7:
                content["id"] = name
            text = json.dumps(content)
            (records / f"{name}.json").write_text(text, encoding="utf-8")
    base, new = (merge([folder / side], "all").records for side in ("base", "new"))
    found = merge([folder / "base", folder / "new"], "all").records
    boards = Boards(found)
    files.tables(found)
    for record in Store(folder / "base").all()[0]:
        outcome_line(record)
    texts = [
        leaderboard_table(boards.leaderboard), pairs_table(boards.pairs), overall_table(boards.overall),
        legend(boards.leaderboard),
    ]  # fmt: skip
    compared = judging.compare(base, new)
    texts += [formats.text(compared), formats.as_markdown(compared), as_junit(compared)]
    texts.append(json.dumps(formats.as_dict(compared), allow_nan=False))
    if found and choices.number(0, 15) == 1:  # a third of a second each
        texts.append(report.render(found))
    return "".join(texts).encode()


def _records_seeds() -> list[bytes]:
    return [bytes(range(256)), bytes(64), bytes(range(255, -1, -3))]


@cache
def _record_text() -> str:
    from bench import seeds as streams
    from bench.method import Recipe
    from bench.record import Data, ExtraTest, Memory, Parameters, Record, Speed

    cell = _cell({"epochs": 2.0})
    answers = {"predictions": [0, 1, 1, 0, 1], "references": [0, 1, 0, 0, 1]}
    made = Record(
        bench_version="0.1.0", id="0123456789abcdef", cell=cell, status="ok", reason="none", traceback="a\nb",
        last_step=3, started_at="2026-01-01T00:00:00.000+00:00", finished_at="2026-01-01T00:01:00.000+00:00",
        seeds=streams.streams(0), metric="matthews", higher_is_better=True,
        scores={"matthews": 0.5, "accuracy": 0.75}, constant_score=0.0, validation_scores=[0.25, None], chosen_epoch=1,
        recipe=Recipe(learning_rate=1e-3, epochs=2, chosen_by="me"),
        parameters=Parameters(base=100, trainable=10, head=4, method=10, share_percent=10.0,
                              share_with_head_percent=14.0, formula=10),
        adapter_bytes=4608, inference_flops=645_600_768,
        memory=Memory(kind="cpu-rss", train_peak_mib=100.0, train_growth_mib=20.0, train_reserved_mib=None,
                      eval_peak_mib=90.0, eval_growth_mib=10.0, eval_reserved_mib=None),
        speed=Speed(train_examples_per_second=50.0, train_tokens_per_second=500.0, step_p50_ms=1.0, step_p95_ms=2.0,
                    steps_counted=7, steps_dropped=3, eval_examples_per_second=99.0, void=None, workers=1,
                    exclusive=True, machine_gflops=100.0),
        data=Data(examples={"train": 3}, labels=["ham", "spam"], label_counts={"train": {"ham": 3}}, digest="sha256:0"),
        timeline={"train": 8.0, "untracked": 2.0, "total": 10.0}, losses=[0.5, 0.25], **answers,
        extra_tests={"harder": ExtraTest(scores={"matthews": 0.5}, constant_score=0.0, **answers)},
        environment={"machine": {"cpu_model": "A CPU", "cpu_cores_allowed": 2, "gpus": [{"name": "A GPU"}]},
                     "versions": {"torch": "2"}, "code": {"commit": "abc", "dirty": False}},
    )  # fmt: skip
    return made.to_json()


METRICS = (
    ("matthews", [0, 1, 1, 0, 1], [0, 1, 0, 0, 1]),
    ("spearman", [0.5, 1.0, 2.0, 0.25], [0.0, 1.0, 3.0, 0.5]),
    ("entity_f1", [[0, 1], [1], [0, -1]], [[0, 1], [0], [1, 1]]),
)


def _whole_record(seed: int = 0, method: str = "head") -> dict[str, Any]:
    """A record with something in every field; which metric depends on the method, so that all kinds come up."""
    made: dict[str, Any] = json.loads(_record_text())
    metric, predictions, references = METRICS[seed % len(METRICS)] if method == "lora" else METRICS[0]
    made["cell"] |= {"seed": seed, "method": method, "task": metric}
    made |= {"metric": metric, "predictions": predictions, "references": references}
    made["scores"][metric] = 0.5 + seed / 10
    made["data"]["labels"] = ["B-ham", "I-ham"]
    return made


def _noise(data: bytes) -> object:
    from bench import noise

    with _file("noise.json", data) as path:
        found = noise.load(path)
    for spread in found.quantities.values():
        noise.ratio_test([0.1, -0.2, 0.05], spread, noise.from_rows([[0.1, 0.2]]))
    return found.to_json()


def _noise_seeds() -> list[bytes]:
    spread = {"between_sd": 0.01, "within_sd": 0.02, "between_df": 4, "within_df": 20, "cells": 6}
    made = {
        "schema_version": 1, "bench_version": "0.1.0", "profile": "cpu", "repeats": 5, "cells": 6,
        "machine": {"cpu_model": "A CPU", "cpu_cores": 2, "gpus": ["A GPU"]},
        "quantities": {"train_examples_per_second": spread, "peak_train_memory_mib": {**spread, "between_sd": None}},
    }  # fmt: skip
    return [json.dumps(made).encode()]


def _archives(data: bytes) -> object:
    from bench.archives import extract

    with _file("archive", data) as path:
        outside = set(path.parent.parent.iterdir())
        extract(path, "data", path.parent / "out")
        files = [each for each in path.parent.rglob("*") if each != path]
        # Plain files and folders, nowhere but below `out`.
        assert all(each.relative_to(path.parent).parts[0] == "out" and not each.is_symlink() for each in files)
        assert set(path.parent.parent.iterdir()) == outside
    return files


def _archives_seeds() -> list[bytes]:
    def tar(mode: str, **options: Any) -> bytes:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode=mode, **options) as archive:
            for name in ("top/data/a.txt", f"top/data/{'n' * 120}", "top/data/sub/b"):
                info = tarfile.TarInfo(name)
                info.size = 5
                archive.addfile(info, io.BytesIO(b"hello"))
            for kind, name in ((tarfile.SYMTYPE, "top/other"), (tarfile.DIRTYPE, "top/data/sub")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "data/a.txt" if kind == tarfile.SYMTYPE else ""
                archive.addfile(info)
        return raw.getvalue()

    def zipped(compression: int) -> bytes:
        raw = io.BytesIO()
        with zipfile.ZipFile(raw, "w", compression) as archive:
            for name in ("data/a.txt", "data/sub/b", "x-1.dist-info/WHEEL"):
                archive.writestr(name, b"hello" * 9)
        return raw.getvalue()

    return [
        tar("w", format=tarfile.PAX_FORMAT), tar("w", format=tarfile.GNU_FORMAT), tar("w:gz"), tar("w:xz"),
        tar("w:bz2"),         zipped(zipfile.ZIP_STORED), zipped(zipfile.ZIP_DEFLATED), zipped(zipfile.ZIP_LZMA),
    ]  # fmt: skip


def _tables(data: bytes) -> object:
    """What tasks read: the first byte says which task, the rest is its file."""
    from bench.data import read

    tasks = _tasks_and_files()
    if not data:
        return None
    name, files = tasks[data[0] % len(tasks)]
    with _task(name) as task, _file(files[0], data[1:]) as path:
        for other in files[1:]:
            (path.parent / other).write_bytes(data[1:])
        splits = read(task, path if len(files) == 1 else path.parent)
    return [len(split) for split in splits.values()]


def _tasks_and_files() -> list[tuple[str, tuple[str, ...]]]:
    from tasks import record_match

    return [
        ("rt-polarity", ("movies.txt",)),
        ("rt-intensity", ("movies.txt",)),
        ("sms-spam", ("sms.csv",)),
        ("us-address", ("labeled.xml", "us50_messiest_manual_label.xml")),
        ("record-match", record_match.FILES),
    ]


@contextlib.contextmanager
def _task(name: str) -> Iterator[Any]:
    """A task, cut into splits that a file of three examples is enough for, so that examples are looked at too."""
    from bench import registry, splits

    def small(examples: Any, **sizes: Any) -> Any:
        return splits.cut(examples, salt="fuzz", validation=1, test=1)

    plugin = registry.tasks().get(name).plugin
    module = sys.modules[plugin.__module__]
    with mock.patch.object(module, "cut", small) if hasattr(module, "cut") else contextlib.nullcontext():
        yield plugin()


def _tables_seeds() -> list[bytes]:
    movies = b"id\trating\ttext\n1\t-1.5\ta dull film\n2\t2.25\ta fine film\n3\t1\tgood\n"
    addresses = (
        b"<AddressCollection><AddressString><AddressNumber>12</AddressNumber> <StreetName>Main</StreetName>"
        b"</AddressString><AddressString><PlaceName>York</PlaceName></AddressString>"
        b"<AddressString><ZipCode>1</ZipCode></AddressString></AddressCollection>"
    )
    people = (
        b"rec_id, given_name, surname, suburb, postcode\nrec-1-org, ann, lee, perth, 6000\n"
        b"rec-1-dup-0, an, lee, perth, 6000\nrec-2-org, bo, lee, york, 6001\n"
    )
    messages = b'text,spam\n"win, now",1\nhello,0\nagain,0\n'
    return [bytes([at]) + content for at, content in enumerate((movies, movies, messages, addresses, people))]


def _parquet(data: bytes) -> object:
    from bench.data import read

    with _task("glue-rte") as task, _file("train-0.parquet", data) as path:
        for other in ("validation-0.parquet", "test-0.parquet"):
            (path.parent / other).write_bytes(data)
        return [len(split) for split in read(task, path.parent).values()]


def _parquet_seeds() -> list[bytes]:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"sentence1": ["a b", "c"], "sentence2": ["d", "e"], "label": [0, 1], "idx": [0, 1]})
    raw = io.BytesIO()
    pyarrow.parquet.write_table(table, raw)
    return [raw.getvalue()]


def _adapters(data: bytes) -> object:
    """A folder of an adapter: the length of its JSON, the JSON, and the weights."""
    from torch import nn

    from bench.adapters import read_method
    from bench.errors import UsageError

    cut = int.from_bytes(data[:2], "big")
    with _file("adapter.json", data[2 : 2 + cut]) as path:
        (path.parent / "adapter.safetensors").write_bytes(data[2 + cut :])
        method = read_method(path.parent, _methods())
        from safetensors import SafetensorError

        try:
            from bench.method import Method

            Method.load(method, nn.Linear(3, 2), path.parent)
        except (OSError, ValueError, SafetensorError) as error:  # what bench.adapters.restore makes a sentence of
            raise UsageError(str(error)) from None
    return method


def _adapters_seeds() -> list[bytes]:
    import torch
    from safetensors.torch import save

    weights = save({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, metadata={"format": "pt"})
    abouts = (
        {"method": "lora", "params": {"r": 4, "targets": ["query"]}},
        {"method": "peft:vera", "params": {"r": 8}},
        {"method": "head", "params": {}},
        {"method": "pasta", "params": {"layers": [0, 1]}, "format": 1},
    )
    texts = [json.dumps(about).encode() for about in abouts]
    return [len(text).to_bytes(2, "big") + text + weights for text in texts]


def _configs(data: bytes) -> object:
    """A model folder whose configuration and tokenizer are not to be trusted."""
    from bench.modeling import load_config, load_tokenizer

    cut = int.from_bytes(data[:2], "big")
    with _file("config.json", data[2 : 2 + cut]) as path:
        (path.parent / "tokenizer.json").write_bytes(data[2 + cut :])
        load_config(path.parent)
        return load_tokenizer(path.parent)


def _configs_seeds() -> list[bytes]:
    config = json.dumps({
        "model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 6,
        "intermediate_size": 8, "hidden_dropout_prob": 0.1, "auto_map": {"AutoConfig": "evil.Config"},
    }).encode()  # fmt: skip
    words = {word: at for at, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"))}
    tokenizer = json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": words},
    }).encode()  # fmt: skip
    return [len(config).to_bytes(2, "big") + config + tokenizer]


TARGETS = {
    target.name: target
    for target in (
        Target("records", _records, _records_seeds),
        Target("archives", _archives, _archives_seeds),
        Target("record", _record, _record_seeds),
        Target("tables", _tables, _tables_seeds),
        Target("configs", _configs, _configs_seeds),
        Target("adapters", _adapters, _adapters_seeds),
        Target("specs", _specs, _specs_seeds),
        Target("suites", _suites, _suites_seeds),
        Target("recipes", _recipes, _recipes_seeds),
        Target("profiles", _profiles, _profiles_seeds),
        Target("noise", _noise, _noise_seeds),
        Target("references", _references, _references_seeds),
        Target("options", _options, _options_seeds),
        Target("parquet", _parquet, _parquet_seeds),
    )
}
