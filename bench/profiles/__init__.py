"""Hardware profiles: how a cell is run on a kind of machine, one TOML file each, checked before a run.

Figures are only comparable within one profile, so a profile that this machine cannot honour is refused and
never quietly weakened. Importing this module does not import torch: listing profiles is quick.
"""

import contextlib
import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import ProfileError
from bench.profiles.probe import Machine, cpu_cores_allowed

__all__ = ["AUTO", "Machine", "Profile", "apply", "check", "choose", "load", "names", "require", "resolve"]

AUTO = "auto"
_FOLDER = Path(__file__).parent
_Count = Annotated[int, Field(ge=1)]


class Profile(BaseModel):
    """One way to run cells. Part of a cell's identity, so every field is written out in the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    summary: str
    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16", "float16"]
    """What is computed in: weights stay float32, and autocast is on where this is not float32."""
    threads: _Count | Literal["all"]
    """torch's intra-op threads in one worker; "all" shares the allowed cores out among the workers."""
    workers: _Count
    """Worker processes that run cells at the same time."""
    micro_batch_size: _Count
    """Most examples in one forward and backward pass; a larger batch is split and its gradients add up."""
    eval_batch_size: _Count
    matmul_precision: Literal["highest", "high", "medium"]
    """As torch.set_float32_matmul_precision takes it."""
    deterministic: bool
    """Whether torch may only use algorithms that give the same bits each time."""
    min_cores: _Count
    min_memory_mib: _Count
    min_gpu_memory_mib: _Count | None = None
    """Memory of the GPU in MiB; absent on a CPU profile."""
    # For planning alone: these change no number, so that neither a cell's identity nor a record holds them.
    memory_mib: Annotated[int | None, Field(ge=1, exclude=True)] = None
    """Memory that all workers together may take, of the GPU or of a CPU's machine; absent: what there is."""
    gflops: Annotated[float | None, Field(gt=0, exclude=True)] = None
    """Sustained rate of a worker's products in `dtype`, in GFLOP/s, as declared; absent: as measured."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_fields(cls, fields: Any) -> Any:
        """Accept fields of earlier versions that change nothing any more: `exclusive`, and `processes` = 1."""
        if not isinstance(fields, dict):
            return fields
        if fields.get("processes", 1) != 1:
            raise ValueError("processes must be 1 or left out: a cell trains in one process, and grids run in parallel")
        return {name: value for name, value in fields.items() if name not in ("processes", "exclusive")}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name == AUTO:
            raise ValueError(f"name {AUTO!r} is reserved for choosing a profile")
        if (self.device == "cuda") != (self.min_gpu_memory_mib is not None):
            raise ValueError("min_gpu_memory_mib belongs to device 'cuda' and to no other")
        if self.dtype == "float16" and self.device == "cpu":
            raise ValueError("dtype 'float16' needs device 'cuda'")
        if self.threads != "all" and self.min_cores < self.threads * self.workers:
            raise ValueError(
                f"min_cores must be at least threads x workers = {self.threads * self.workers}, not {self.min_cores}"
            )
        return self

    def thread_count(self, cores: int) -> int:
        """torch's intra-op threads in one worker on a machine that allows this many cores; at least 1."""
        return max(1, cores // self.workers) if self.threads == "all" else self.threads

    def with_workers(self, workers: int) -> Self:
        """This profile with another number of workers, which share its threads; at least one thread each.

        Cells that share the machine say something else about throughput, so it is a profile by another name.
        """
        if workers == self.workers:
            return self
        threads = self.threads if self.threads == "all" else max(1, self.threads * self.workers // workers)
        cores = self.min_cores if threads == "all" else max(self.min_cores, threads * workers)
        changed = {"name": f"{self.name}-{workers}w", "workers": workers, "threads": threads, "min_cores": cores}
        return self.model_copy(update=changed)


def names() -> list[str]:
    """The built-in profiles, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name_or_path: str | Path) -> Profile:
    """The built-in profile of this name, or the one in a TOML file (what ends in .toml or has a slash).

    ProfileError: an unknown name, an unreadable or malformed file, a wrong or unknown field, or a file that
    takes the name of a built-in profile for other settings, which would make unlike figures look alike.
    """
    if not _is_path(name_or_path):
        if name_or_path not in names():
            raise ProfileError(_unknown(str(name_or_path)))
        return _read(_FOLDER / f"{name_or_path}.toml", shown=f"{name_or_path}.toml")
    profile = _read(Path(name_or_path), shown=str(name_or_path))
    if profile.name in names() and profile != load(profile.name):
        raise ProfileError(
            f"Profile file {name_or_path} takes the name of the built-in profile {profile.name} for other "
            "settings: give it a name of its own."
        )
    return profile


def check(profile: Profile, machine: Machine) -> list[str]:
    """What the machine lacks for this profile, one clause each; empty where it can be honoured."""
    lacks = []
    cores, memory_mib = machine.cpu_cores_allowed, machine.usable_memory_mib
    if cores < profile.min_cores:
        lacks.append(f"needs {profile.min_cores} cores, {cores} allowed")
    if memory_mib < profile.min_memory_mib:
        lacks.append(f"needs {profile.min_memory_mib:,} MiB of memory, {memory_mib:,} MiB usable")
    return lacks + _check_gpu(profile, machine)


def require(profile: Profile, machine: Machine) -> None:
    """Return where the machine honours the profile; else ProfileError with what is missing and what fits."""
    lacks = check(profile, machine)
    if not lacks:
        return
    fitting = ", ".join(other.name for other in _honoured(machine))
    advice = f"Use --profile auto or one of: {fitting}." if fitting else "No built-in profile fits this machine."
    raise ProfileError(f"Profile {profile.name} cannot be honoured here: {'; '.join(lacks)}. {advice}")


def choose(machine: Machine) -> tuple[Profile, str]:
    """The most demanding built-in profile that the machine honours, and a line that says why.

    Demanding is more GPU memory, then more cores, then more memory. Passed over is a CPU profile whose
    threads would leave half of the cores or more idle: cpu-2core is for two or three cores, cpu for others.

    ProfileError where the machine honours none.
    """
    cores = machine.cpu_cores_allowed
    fitting = [
        profile
        for profile in _honoured(machine)
        if profile.device == "cuda" or profile.thread_count(cores) * profile.workers * 2 > cores
    ]
    if not fitting:
        raise ProfileError(
            f"No built-in profile fits this machine ({machine.summary}): "
            "write one as a TOML file and give its path to --profile."
        )
    best = max(fitting, key=lambda each: (each.min_gpu_memory_mib or 0, each.min_cores, each.min_memory_mib))
    return best, f"{best.name}: {machine.summary}"


def resolve(name: str, machine: Machine) -> tuple[Profile, str]:
    """What --profile means here ("auto", a name, a path), and a line to print; ProfileError if it cannot."""
    if name == AUTO:
        return choose(machine)
    profile = load(name)
    require(profile, machine)
    return profile, f"{profile.name}: {machine.summary}"


def apply(profile: Profile) -> None:
    """Set this process's torch up as the profile says. Call it before the first work on a GPU."""
    if profile.deterministic and profile.device == "cuda":
        # cuBLAS reads this when its handle is made, and torch refuses deterministic products without it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(profile.thread_count(cpu_cores_allowed()))
    with contextlib.suppress(RuntimeError):  # can be set once in a process; a warm worker comes here again
        torch.set_num_interop_threads(1)
    torch.set_float32_matmul_precision(profile.matmul_precision)
    torch.use_deterministic_algorithms(profile.deterministic)


def _check_gpu(profile: Profile, machine: Machine) -> list[str]:
    """As `check`, for the GPU: the first one visible, since that is the one the device "cuda" means."""
    if profile.min_gpu_memory_mib is None:
        return []
    need = f"needs a CUDA GPU with {profile.min_gpu_memory_mib:,} MiB"
    if not machine.gpus:
        return [f"{need}, none was found"]
    gpu = machine.gpus[0]
    lacks = []
    if gpu.memory_mib < profile.min_gpu_memory_mib:
        lacks.append(f"{need}, the first one ({gpu.name}) has {gpu.memory_mib:,} MiB")
    # Older cards emulate bfloat16, several times slower than float32.
    if profile.dtype == "bfloat16" and int(gpu.capability.split(".")[0]) < 8:
        lacks.append(f"needs compute capability 8.0 for bfloat16, {gpu.name} has {gpu.capability}")
    return lacks


def _honoured(machine: Machine) -> list[Profile]:
    return [profile for profile in map(load, names()) if not check(profile, machine)]


def _is_path(name_or_path: str | Path) -> bool:
    if isinstance(name_or_path, Path):
        return True
    return name_or_path.endswith(".toml") or Path(name_or_path).name != name_or_path


def _unknown(name: str) -> str:
    known = [AUTO, *names()]
    near = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"There is no profile {name!r}.{hint} Profiles: {', '.join(known)}, or the path of a TOML file."


def _read(path: Path, shown: str) -> Profile:
    """The profile in this file; `shown` is what an error calls the file."""
    try:
        with path.open("rb") as file:
            fields = tomllib.load(file)
    except OSError as error:
        raise ProfileError(f"Profile file {shown} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # of a number of too many digits, of nesting that is too deep, too
        raise ProfileError(f"Profile file {shown} is not valid TOML: {error}.") from error
    try:
        return Profile.model_validate(fields)
    except ValidationError as error:
        raise ProfileError(f"Profile file {shown}: {_first_fault(error)}.") from error


def _first_fault(error: ValidationError) -> str:
    """The first wrong field and what is wrong with it, as a clause."""
    faults = error.errors(include_url=False)
    # A misspelt field is an unknown one and a missing one: the former says more.
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    if not fault["loc"]:  # from Profile._consistent
        return fault["msg"].removeprefix("Value error, ")
    field = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, Profile.model_fields, n=1)
        return f"unknown field {field!r}" + (f", did you mean {near[0]!r}" if near else "")
    if fault["type"] == "missing":
        return f"field {field!r} is missing"
    # A field of several types has one fault for each; a message reads "Input should be a valid integer".
    messages = [each["msg"] for each in faults if each["loc"][:1] == (field,)]
    wanted = " or ".join(re.sub(r"^(Input|String) ", "", message) for message in messages)
    # A table in the place of a value may be nested so deeply that even its text cannot be made.
    given = "a table" if isinstance(fault["input"], dict | list) else repr(fault["input"])
    return f"field {field!r} {wanted}, not {given}"
