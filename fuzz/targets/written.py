"""What a user writes: options of the command line, and TOML and JSON files."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from unittest import mock

from fuzz.targets.target import Target, cell_with, file_of, known_methods, scratch, text_of


def _specs(data: bytes) -> object:
    from bench.plugins.specs import build_method, parse_all

    return [build_method(known_methods(), spec) for spec in parse_all(text_of(data))]


def _specs_seeds() -> list[bytes]:
    return [
        b"pasta[tokens=cls,share_layers=true,layers=0-2+5,init_std=0,dropout=0.1],head",
        b"lora[r=4,alpha=8,dropout=0.1,targets=query+value],prompt_tuning[tokens=5]",
        b"peft:vera[r=64],peft:lora[use_dora=true,init_lora_weights=gaussian,layers_to_transform=0+1]",
        b"adapters[placement=pfeiffer,bottleneck=8,layer_norms=true]",
    ]


def _options(data: bytes) -> object:
    from bench.comparison.measures import with_thresholds
    from bench.runner.request import parse_seeds

    kind, text = data[:1], text_of(data[1:])
    if kind == b"s":
        return parse_seeds(text)
    if kind == b"t":
        return with_thresholds([text])
    from bench.grid import models, suites

    return models.find(text) if kind == b"m" else suites.load(text)


def _options_seeds() -> list[bytes]:
    return [b"s0,1,2", b"s3", b"tadapter_bytes=5%", b"tscore=0.02", b"m./model", b"m~/model", b"mminilm-l6", b"uci"]


def _profiles(data: bytes) -> object:
    from bench import profiles

    with file_of("other.toml", data) as path:
        found = profiles.load(path)
    return found.with_workers(3).model_dump_json()


def _profiles_seeds() -> list[bytes]:
    from bench import profiles

    return [file.read_bytes() for file in Path(profiles.__file__).parent.glob("*.toml")]


def _suites(data: bytes) -> object:
    from bench.grid.recipes import Overrides, resolve_recipe
    from bench.plugins.recipe import Recipe
    from bench.runner.options import Options
    from bench.runner.request import Request

    with file_of("suite.toml", data) as path:
        request = Request.of(Options(suite=path))
    recipe, suite = Recipe(learning_rate=1, epochs=1, chosen_by="nobody"), request.suite
    for task in request.tasks:
        for spec in request.methods:
            changed = Overrides(suite.recipe(task, spec.name))
            resolve_recipe(recipe, changed, suite.name, suite.budget.epochs_scale, "cpu").recipe.model_dump_json()
    return request


def _suites_seeds() -> list[bytes]:
    import suites

    return [file.read_bytes() for file in Path(str(suites.__file__)).parent.glob("*.toml")]


def _recipes(data: bytes) -> object:
    """A file of tuned recipes, as a run takes it: what is in it becomes part of a cell and of its recipe."""
    from bench.grid import suites
    from bench.grid.recipes import RecipeStore, file_name, resolve_recipe
    from bench.plugins.recipe import Recipe
    from bench.plugins.specs import build_method, parse

    recipe, suite = Recipe(learning_rate=1, epochs=1, chosen_by="nobody"), suites.load("quick")
    with file_of(file_name("lora"), data) as path:
        store = RecipeStore(path.parent, shipped=False)
        for spec, task in (("lora", "sms-spam"), ("lora[r=1]", "sms-spam"), ("lora", "us-address")):
            changed = store.overrides(build_method(known_methods(), parse(spec)), task, suite)
            cell_with(changed.settings).model_dump_json()
            resolve_recipe(recipe, changed, suite.name, suite.budget.epochs_scale, "cpu").recipe.model_dump_json()
    return store


def _recipes_seeds() -> list[bytes]:
    from bench.grid.recipes import File, Tuned

    settings = {"learning_rate": 0.02, "dropout": None, "chosen_by": "tune", "trials": 7, "trial_examples": 8000}
    made = [
        Tuned(method=method, task=task, model="minilm-l6", settings=settings, trials=("0" * 16,))
        for method, task in (("lora", "sms-spam"), ("lora[r=1]", "sms-spam"), ("lora", None))
    ]
    return [File(recipes=tuple(made)).model_dump_json().encode()]


def _table_tasks(data: bytes) -> object:
    """The TOML file of a task: what is accepted can be looked at by `list`, and has an identity."""
    from bench.grid.catalogue import entries
    from bench.grid.plugin_code import meaning
    from bench.plugins import registry

    with file_of("own.toml", data) as path:
        found = registry.tasks([path])
        own = [each.plugin for each in found.found.values() if each.file == path.resolve()]
        return own and (meaning(path), entries("tasks", [path]))


def _table_tasks_seeds() -> list[bytes]:
    import tasks

    folder = Path(str(tasks.__file__)).parent
    return [(folder / f"{name}.toml").read_bytes() for name in ("conll2003", "glue-mnli", "rt-intensity")]


def _references(data: bytes) -> object:
    from bench.sources.references import HubRef, PathRef, parse, pinned
    from bench.sources.resolve import local

    mirror = scratch() / "mirror"
    mirror.mkdir(exist_ok=True)
    ref = text_of(data)
    found = parse(ref)
    if isinstance(found, PathRef):  # other folders of this machine are no business of a fuzzer
        return None
    if isinstance(found, HubRef):
        commit = "0" * 40
        assert parse(pinned(ref, f"commit:{commit}")) == dataclasses.replace(found, revision=commit)
    with mock.patch.dict(os.environ, BENCH_CACHE=str(scratch() / "cache")):
        return local(ref, mirror)


def _references_seeds() -> list[bytes]:
    digest = b"0" * 64
    return [
        b"package:demo==1.0!/folder/file.txt#sha256=" + digest,
        b"hub:owner/name",
        b"hub:owner/name@main!/folder",
        b"hub:datasets/owner/name@refs/convert/parquet",
        b"./folder",
        b"~user/folder",
    ]


TARGETS = (
    Target("specs", _specs, _specs_seeds),
    Target("suites", _suites, _suites_seeds),
    Target("recipes", _recipes, _recipes_seeds),
    Target("profiles", _profiles, _profiles_seeds),
    Target("table_tasks", _table_tasks, _table_tasks_seeds),
    Target("references", _references, _references_seeds),
    Target("options", _options, _options_seeds),
)
