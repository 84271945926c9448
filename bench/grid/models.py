"""The pretrained encoders that have a name. Any folder or hub reference is a model too."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import UsageError
from bench.sources.references import HubRef, exists, fixes, parse, pinned
from bench.suggestions import suggest


class Shape(NamedTuple):
    """What is known of a model without its files: its configuration, and the special tokens around its texts."""

    config: dict[str, Any]
    single: tuple[int, ...]
    pair: tuple[int, ...]


class Model(NamedTuple):
    """A model's name, and where its files are (see `bench.sources.references`). shape: None where it is unknown."""

    name: str
    source: str
    summary: str
    shape: Shape | None = None
    aliases: tuple[str, ...] = ()


@cache
def named() -> dict[str, Model]:
    """The models of models.toml by name."""
    table = tomllib.loads(files("bench.grid").joinpath("models.toml").read_text(encoding="utf-8"))

    def shape(entry: dict[str, Any]) -> Shape:
        if like := entry.get("like"):
            known = shape(table[like])
            return known._replace(config=known.config | entry["config"])
        tokens = entry["special_tokens"]
        return Shape(entry["config"], tuple(tokens["single"]), tuple(tokens["pair"]))

    return {
        name: Model(name, entry["source"], entry["summary"], shape(entry), tuple(entry.get("aliases", ())))
        for name, entry in table.items()
    }


@cache
def _other_names() -> dict[str, Model]:
    """The models of `named` by their repositories, with and without the owner, in lower case."""
    found: dict[str, Model] = {}
    for model in named().values():
        ref = parse(model.source)
        for repository in (*model.aliases, *([ref.repo] if isinstance(ref, HubRef) else [])):
            found |= dict.fromkeys((repository.lower(), repository.rpartition("/")[2].lower()), model)
    return found


def find(name: str) -> Model:
    """A named model, a model folder, or a `hub:` or `package:` reference.

    Raises:
        UsageError: for a name that is none of these, with the nearest right one.
    """
    if name in named():
        return named()[name]
    if name.startswith(("hub:", "package:")):
        return Model(name, name, "")
    if name.startswith((".", "/", "~")) or exists(name):
        try:
            # The folder's path is of one machine only; its last part and its content identify it, see `resolved`.
            return Model(Path(name).expanduser().resolve().name, name, "")
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(f"{name!r} cannot be the path of a model: {error}.") from None
    if found := _other_names().get(name.lower()):
        return found
    raise UsageError(
        f"There is no model {name!r}{suggest(name, named(), _other_names())} A folder (./NAME) or hub:OWNER/NAME works "
        "too."
    )


def resolved(model: Model, revision: str) -> Model:
    """The model under the name and the source that its cells have, once its files are found.

    No two models share a name: one that does not say by itself what the files are (a folder, a branch of the hub, a
    mirror's copy) gets the first digits of what they are.

    Args:
        revision: what the source resolved to, see `bench.sources.resolve.Resolved`.
    """
    source = pinned(model.source, revision)
    is_reference = model.name == model.source
    name = source if is_reference else model.name
    if not fixes(source if is_reference else model.source, revision):
        name = f"{name}@{digits(revision)}"
    return model._replace(name=name, source=source)


def digits(revision: str) -> str:
    """The first digits of a revision, which tell apart what has one name."""
    return revision.partition(":")[2][:8]
