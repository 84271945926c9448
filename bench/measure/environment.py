"""The environment a record was made in: machine, versions, code and the settings that influence its numbers.

Records are published, so nothing here names the host, the user or a folder.
"""

import copy
import fnmatch
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from bench.profiles.probe import probe

_ROOT = Path(__file__).resolve().parents[2]
_GIT_TIMEOUT_S = 5.0
# Set while git runs a hook, perhaps another repository's: they would outweigh the folder given with -C.
_GIT_REDIRECTS = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}

_DISTRIBUTIONS = (
    "pasta-bench",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "datasets",
    "evaluate",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "safetensors",
)

_IN_TRACEBACK = re.compile(r'File "([^"\n]+)"')

# Variables that change speed, memory or the last bits of a result.
_SETTINGS = (
    "OMP_*",
    "GOMP_*",
    "GOMP_*",
    "MKL_*",
    "KMP_*",
    "OPENBLAS*",
    "DNNL_*",
    "ONEDNN_*",
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_*",
    "PYTORCH_*",
    "MALLOC_*",
    "TOKENIZERS_PARALLELISM",
    "HF_HUB_OFFLINE",
)


def snapshot() -> dict[str, Any]:
    """The environment as a JSON-able dictionary: python, platform, machine, versions, code, settings.

    A version that is not installed, and a commit or dirty flag that cannot be had, is None. The settings are
    read at each call, since a profile may set some; the rest is found once in a process. The caller owns the
    result.
    """
    return {**copy.deepcopy(_fixed()), "settings": settings()}


def settings() -> dict[str, str]:
    """Environment variables that influence the numbers, by name; values that look like paths are left out."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in _SETTINGS) and not set(value) & {"/", "\\"}
    }


def code(root: Path = _ROOT) -> dict[str, Any]:
    """The git commit of the checkout at this root, and whether tracked files or new .py files differ from it.

    Both are None where root is not the top of a checkout: an installed package may lie inside somebody
    else's, whose commit says nothing about this code.
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
    return {
        "commit": commit,
        "dirty": any(not change.startswith("??") or change.endswith(".py") for change in changes),
    }


def anonymous(text: str) -> str:
    """A text without this machine's folders: of a traceback's files their last three parts, of the home folder `~`.

    Half characters, as of a file's name that is not UTF-8, become question marks: no record could be read with them.
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
    """What does not change while the process lives."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": probe().model_dump(mode="json"),
        "versions": {name: _version(name) for name in _DISTRIBUTIONS},
        "code": code(),
    }


def _version(distribution: str) -> str | None:
    """The installed version, from its metadata: importing all of these would take seconds."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


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
            # status would otherwise rewrite the index, and so contend with the user's own git.
            env={**inherited, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
