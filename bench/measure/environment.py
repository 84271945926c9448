"""The environment of a record: machine, versions, code, and the settings that influence its numbers.

Records are published, so nothing here names the host, the user or a folder.
"""

import contextlib
import copy
import fnmatch
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.profiles.probe import probe

_ROOT = Path(__file__).resolve().parents[2]
_GIT_TIMEOUT_S = 5.0
# Set while git runs a hook, perhaps of another repository: they would override the folder given with -C.
_GIT_REDIRECTS = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}

# Always named; None where not installed. What these require in turn is named too.
_DISTRIBUTIONS = (
    "pasta-bench", "torch", "transformers", "tokenizers", "peft", "accelerate", "datasets", "evaluate", "numpy",
    "scipy", "scikit-learn", "seqeval", "pandas", "safetensors",
)  # fmt: skip

_IN_TRACEBACK = re.compile(r'File "([^"\n]+)"')

# Variables that change speed, memory or the last bits of a result.
_SETTINGS = (
    "OMP_*", "GOMP_*", "MKL_*", "KMP_*", "OPENBLAS*", "DNNL_*", "ONEDNN_*", "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_*", "PYTORCH_*", "MALLOC_*", "GLIBC_TUNABLES",
    "PYTHONHASHSEED", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE",
)  # fmt: skip


def snapshot() -> dict[str, Any]:
    """The environment as a JSON-able dictionary: python, platform, container, machine, versions, code, and more.

    Unknown versions, commits and dirty flags are None. `compute` and `settings` are read at each call, since a profile
    sets some of them; the rest once in a process. The caller may change the result.
    """
    return {**copy.deepcopy(_fixed()), "compute": compute(), "settings": settings()}


def compute() -> dict[str, Any]:
    """What torch computes with in this process: threads, vector units, libraries. Empty if it is not imported."""
    if "torch" not in sys.modules:
        return {}
    import torch

    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "mkl": torch.backends.mkl.is_available(),
        "onednn": torch.backends.mkldnn.is_available(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.version.cuda else None,
    }


def settings() -> dict[str, str]:
    """Environment variables that influence the numbers, by name; values that look like paths are left out."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in _SETTINGS) and not set(value) & {"/", "\\"}
    }


def part(environment: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of a record's environment, which may hold anything; empty where the record has none."""
    found = environment.get(name)
    return found if isinstance(found, dict) else {}


class Difference(NamedTuple):
    """An entry of an environment that has two values; name: dotted, such as `versions.torch`."""

    name: str
    before: Any
    after: Any

    def text(self, before: str, after: str) -> str:
        """In words. before, after: where each value is found, such as "in the record" and "here"."""
        old, new = ("missing" if value is None else value for value in (self.before, self.after))
        return f"{self.name} is {old} {before} and {new} {after}"


def diff(before: Mapping[str, Any], after: Mapping[str, Any], within: str = "") -> list[Difference]:
    """What differs between two environments, or two parts of them; within: the part's name and a dot.

    An entry that only one of them has is no difference, since older records say less. It is one in `settings`, where
    it means that the variable is not set.
    """
    names = dict.fromkeys([*before, *after]) if within == "settings." else [name for name in before if name in after]
    found: list[Difference] = []
    for name in names:
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += diff(old, new, f"{within}{name}.")
        elif old != new:
            found.append(Difference(f"{within}{name}", old, new))
    return found


def code(root: Path = _ROOT) -> dict[str, Any]:
    """The git commit of the checkout at this root, and whether tracked files or new .py files differ from it.

    Both are None where root is not the top of a checkout: an installed package may be inside another project's
    checkout, whose commit says nothing about this code.
    """
    head = _git(root, "rev-parse", "--show-toplevel", "HEAD")
    if head is None:
        return {"commit": None, "dirty": None}
    top, _, commit = head.strip().rpartition("\n")
    if Path(top).resolve() != root.resolve():
        return {"commit": None, "dirty": None}
    status = _git(root, "status", "--porcelain", "--untracked-files=all", "-z")
    if status is None:
        return {"commit": commit, "dirty": None}
    changes = status.split("\0")[:-1]
    return {"commit": commit, "dirty": any(not change.startswith("??") or change.endswith(".py") for change in changes)}


def anonymous(text: str) -> str:
    """A text without this machine's folders: files in tracebacks keep their last three parts, home becomes `~`.

    Lone surrogates, as in file names that are not UTF-8, become question marks: no record with them could be read.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = _IN_TRACEBACK.sub(lambda found: f'File "{_end_of(found[1])}"', text)
    for folder, name in ((str(_ROOT), "."), (str(Path.home()), "~")):
        if len(folder) > 1:  # the home of a user without one is the root
            text = text.replace(folder, name)
    return text


def _end_of(path: str) -> str:
    parts = Path(path).parts
    return path if len(parts) < 4 else "/".join(("...", *parts[-3:]))


@functools.cache
def _fixed() -> dict[str, Any]:
    """What does not change while the process runs."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "container": container(),
        "machine": probe().model_dump(mode="json"),
        "versions": versions(_DISTRIBUTIONS),
        "code": code(),
    }


def versions(roots: Iterable[str]) -> dict[str, str | None]:
    """The installed versions of these distributions and of all that they require, by name; None: not installed.

    Read from their metadata: importing all of these would take seconds. Other installed packages are not named: records
    are published, and another project's packages may be private.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, str | None] = {canonicalize_name(name): None for name in roots}
    waiting = {(name, "") for name in found}
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        seen.add((name, extra))
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = distribution.version
        for required, extras in _requirements(distribution.requires or (), extra):
            waiting |= {(canonicalize_name(required), wanted) for wanted in ("", *extras)} - seen
    return dict(sorted(found.items()))


def _requirements(lines: Iterable[str], extra: str) -> Iterator[tuple[str, set[str]]]:
    """The names and extras of a distribution's requirements that apply here; unreadable ones are left out."""
    from packaging.markers import InvalidMarker
    from packaging.requirements import InvalidRequirement, Requirement

    for line in lines:
        with contextlib.suppress(InvalidRequirement, InvalidMarker):
            each = Requirement(line)
            if each.marker is None or each.marker.evaluate({"extra": extra}):
                yield each.name, each.extras


def container(root: Path = Path("/")) -> str | None:
    """The kind of container that this process runs in; None: none that can be recognised."""
    if os.environ.get("APPTAINER_NAME") or os.environ.get("SINGULARITY_NAME"):
        return "apptainer"
    files = {".dockerenv": "docker", "run/.containerenv": "podman"}
    return next((kind for file, kind in files.items() if (root / file).exists()), None)


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, or None where there is no git, no checkout, or no answer in time."""
    inherited = {name: value for name, value in os.environ.items() if name not in _GIT_REDIRECTS}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            check=True,
            encoding="utf-8",
            errors="replace",
            timeout=_GIT_TIMEOUT_S,
            # Otherwise `status` would rewrite the index, and contend with the user's own git.
            env={**inherited, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
