"""The pretrained encoders that have a name; any path or pinned hub reference is a model too."""

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from bench.errors import UsageError
from bench.registry import suggest


class Model(NamedTuple):
    """A name for people, and where the files are (a reference of `bench.sources`)."""

    name: str
    source: str
    summary: str


@cache
def named() -> dict[str, Model]:
    """The models of models.toml by name."""
    table = tomllib.loads(files("bench").joinpath("models.toml").read_text(encoding="utf-8"))
    return {name: Model(name, entry["source"], entry["summary"]) for name, entry in table.items()}


def find(name: str) -> Model:
    """A named model, a model folder, or a `hub:` or `package:` reference.

    Raises:
        UsageError: for a name that is none of these, with the nearest right one.
    """
    if name in named():
        return named()[name]
    if name.startswith(("hub:", "package:")):
        return Model(name, name, "")
    if name.startswith((".", "/", "~")) or Path(name).exists():
        # A folder's path says where it lies on one machine; its last name and its digest say what it is.
        return Model(Path(name).expanduser().resolve().name, name, "")
    raise UsageError(
        f"There is no model {name!r}{suggest(name, named())} A folder (./NAME) or hub:OWNER/NAME@REVISION will do too."
    )
