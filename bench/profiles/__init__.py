"""Hardware profiles: how cells run on a kind of machine, one TOML file each.

Numbers are comparable within one profile only. A profile that this machine cannot honour is refused, never weakened.
Importing this module does not import torch, so that listing profiles is quick.
"""

import contextlib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import ProfileError, first_error
from bench.profiles.probe import Machine, cpu_cores_allowed
from bench.suggestions import suggest

__all__ = ["AUTO", "Machine", "Profile", "apply", "check", "choose", "load", "names", "require", "resolve"]

AUTO = "auto"
_FOLDER = Path(__file__).parent
_Count = Annotated[int, Field(ge=1)]


class Profile(BaseModel):
    """One way to run cells. It is part of a cell's identity, so a TOML file has every field."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    summary: str
    device: Literal["cpu", "cuda", "mps"]
    dtype: Literal["float32", "bfloat16", "float16"]
    """Of computations; weights stay float32, and autocast is on where this is not float32. Of float16 there may be
    records, but no profile is read with it."""
    threads: _Count | Literal["all"]
    """torch's intra-op threads in one worker; "all" divides the allowed cores among the workers."""
    workers: _Count
    """Worker processes that run cells at the same time."""
    micro_batch_size: _Count
    """Most examples in one forward and backward pass; a larger batch is split, and its gradients are added up."""
    eval_batch_size: _Count
    matmul_precision: Literal["highest", "high", "medium"]
    """See torch.set_float32_matmul_precision."""
    deterministic: bool
    """Whether torch may only use algorithms that give the same bits each time."""
    min_cores: _Count
    min_memory_mib: _Count
    min_gpu_memory_mib: _Count | None = None
    """Least memory of the CUDA GPU in MiB; absent: any."""
    gradient_checkpointing: bool = False
    """Whether the activations within a layer are computed again in the backward pass instead of kept."""
    compile: bool = False
    """Whether the model is compiled by torch.compile."""
    # For `plan` only. They change no number, so they are neither in a cell's identity nor in a record.
    memory_mib: Annotated[int | None, Field(ge=1, exclude=True)] = None
    """Memory for all workers together, of the GPU or of a CPU's machine; absent: all there is."""
    gflops: Annotated[float | None, Field(gt=0, exclude=True)] = None
    """Sustained rate of a worker's products in `dtype`, in GFLOP/s; absent: it is measured."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_fields(cls, fields: Any) -> Any:
        """Accept fields of earlier versions that no longer have an effect: `exclusive`, and `processes` = 1."""
        if not isinstance(fields, dict):
            return fields
        if fields.get("processes", 1) != 1:
            raise ValueError("processes must be 1 or left out: a cell trains in one process, and grids run in parallel")
        return {name: value for name, value in fields.items() if name not in ("processes", "exclusive")}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name == AUTO:
            raise ValueError(f"name {AUTO!r} is reserved for choosing a profile")
        if self.device != "cuda" and self.min_gpu_memory_mib is not None:
            raise ValueError("min_gpu_memory_mib is for device 'cuda'")
        if self.device == "mps" and self.dtype != "float32":
            raise ValueError("device 'mps' computes in dtype 'float32' only")
        if self.threads != "all" and self.min_cores < self.threads * self.workers:
            raise ValueError(
                f"min_cores must be at least threads x workers = {self.threads * self.workers}, not {self.min_cores}"
            )
        return self

    def precision(self) -> contextlib.AbstractContextManager[object]:
        """The context in which a model is called."""
        if self.dtype == "float32":
            return contextlib.nullcontext()
        import torch

        return torch.autocast(self.device, getattr(torch, self.dtype))

    def thread_count(self, cores: int) -> int:
        """torch's intra-op threads in one worker on a machine that allows this many cores; at least 1."""
        return max(1, cores // self.workers) if self.threads == "all" else self.threads

    def with_workers(self, workers: int) -> Self:
        """This profile with another number of workers, which share its threads; at least one thread each.

        The throughput of cells that share a machine does not compare: the profile gets another name.
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
    """The built-in profile of this name, or the one in a TOML file (anything that ends in .toml or has a slash).

    Raises:
        ProfileError: for an unknown name, a file that is not a valid profile, or one that has the name of a built-in
            profile and other settings: different numbers would look comparable.
    """
    is_path = (
        isinstance(name_or_path, Path) or name_or_path.endswith(".toml") or Path(name_or_path).name != name_or_path
    )
    if not is_path:
        if name_or_path not in names():
            known = suggest(str(name_or_path).lower(), [AUTO, *names()])
            raise ProfileError(f"There is no profile {name_or_path!r}{known} Or give the path of a TOML file.")
        return _read(_FOLDER / f"{name_or_path}.toml", shown=f"{name_or_path}.toml")
    profile = _read(Path(name_or_path), shown=str(name_or_path))
    if profile.name in names() and profile != load(profile.name):
        raise ProfileError(
            f"Profile file {name_or_path} has the name of the built-in profile {profile.name} and other settings: "
            "give it another name."
        )
    return profile


def check(profile: Profile, machine: Machine) -> list[str]:
    """What the machine lacks for this profile; empty where it can be honoured."""
    lacks = []
    cores, memory_mib = machine.cpu_cores_allowed, machine.usable_memory_mib
    if cores < profile.min_cores:
        lacks.append(f"needs {profile.min_cores} cores, {cores} allowed")
    if memory_mib < profile.min_memory_mib:
        lacks.append(f"needs {profile.min_memory_mib:,} MiB of memory, {memory_mib:,} MiB usable")
    if profile.device == "mps" and not machine.mps:
        lacks.append("needs an Apple GPU that torch can use (MPS), none was found")
    if profile.device != "cuda":
        return lacks
    least = profile.min_gpu_memory_mib
    need = "needs a CUDA GPU" if least is None else f"needs a CUDA GPU with {least:,} MiB"
    if not machine.gpus:
        return [*lacks, f"{need}, none was found"]
    gpu = machine.gpus[0]  # the one that the device "cuda" means
    if least is not None and gpu.memory_mib < least:
        lacks.append(f"{need}, the first one ({gpu.name}) has {gpu.memory_mib:,} MiB")
    # Older cards emulate bfloat16, several times slower than float32.
    if profile.dtype == "bfloat16" and int(gpu.capability.split(".")[0]) < 8:
        lacks.append(f"needs compute capability 8.0 for bfloat16, {gpu.name} has {gpu.capability}")
    return lacks


def require(profile: Profile, machine: Machine) -> None:
    """Raise a ProfileError that names what is missing if the machine cannot honour the profile."""
    lacks = check(profile, machine)
    if not lacks:
        return
    fitting = ", ".join(other.name for other in _fitting(machine))
    advice = f"Use --profile auto or one of: {fitting}." if fitting else "No built-in profile fits this machine."
    raise ProfileError(f"Profile {profile.name} cannot be honoured here: {'; '.join(lacks)}. {advice}")


def choose(machine: Machine) -> tuple[Profile, str]:
    """The most demanding built-in profile that the machine can honour, and a line with the reason.

    Demanding is a GPU, then more of its memory, then bfloat16, then more cores, then more memory. CPU profiles that
    would leave half of the cores or more idle are left out: cpu-2core is for two or three cores, cpu for others. So is
    mps, which nobody has run yet: it has to be asked for by name.

    Raises:
        ProfileError: if no built-in profile fits.
    """
    cores = machine.cpu_cores_allowed
    fitting = [
        profile
        for profile in _fitting(machine)
        if profile.device == "cuda"
        or (profile.device == "cpu" and profile.thread_count(cores) * profile.workers * 2 > cores)
    ]
    if not fitting:
        raise ProfileError(
            f"No built-in profile fits this machine ({machine.summary}): "
            "write one as a TOML file and give its path to --profile."
        )
    best = max(fitting, key=_demand)
    return best, f"{best.name}: {machine.summary}"


def _demand(profile: Profile) -> tuple[bool, int, bool, int, int]:
    is_gpu, gpu_mib = profile.device == "cuda", profile.min_gpu_memory_mib or 0
    return is_gpu, gpu_mib, profile.dtype == "bfloat16", profile.min_cores, profile.min_memory_mib


def resolve(name: str, machine: Machine) -> tuple[Profile, str]:
    """The profile that --profile names ("auto", a name, a path), and a line to print; ProfileError if it is unfit."""
    if name == AUTO:
        return choose(machine)
    profile = load(name)
    require(profile, machine)
    return profile, f"{profile.name}: {machine.summary}"


def apply(profile: Profile) -> None:
    """Set torch up in this process as the profile says. Call it before the first work on a GPU."""
    if profile.deterministic and profile.device == "cuda":
        # cuBLAS reads it when its handle is created; without it torch refuses deterministic products.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.set_num_threads(profile.thread_count(cpu_cores_allowed()))
    with contextlib.suppress(RuntimeError):  # it can be set once in a process, and a worker runs many cells
        torch.set_num_interop_threads(1)
    torch.set_float32_matmul_precision(profile.matmul_precision)
    torch.use_deterministic_algorithms(profile.deterministic)
    # Else each new tensor is filled with NaN under deterministic algorithms: a twentieth of a training step on a CPU.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _fitting(machine: Machine) -> list[Profile]:
    return [profile for profile in map(load, names()) if not check(profile, machine)]


def _read(path: Path, shown: str) -> Profile:
    """The profile in this file; `shown` is what an error calls the file."""
    try:
        profile = Profile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ProfileError(f"Profile file {shown} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        where, what = first_error(error)
        at = f" at {where!r}" if where else ""
        raise ProfileError(f"Profile file {shown} is wrong{at}: {what.removeprefix('Value error, ')}.") from error
    except (ValueError, RecursionError) as error:  # also for numbers of too many digits, and nesting that is too deep
        raise ProfileError(f"Profile file {shown} is not valid TOML: {error}.") from error
    if profile.dtype == "float16":
        raise ProfileError(
            f"Profile file {shown} is wrong at 'dtype': float16 needs its loss scaled, which the training loop does "
            "not do; use 'bfloat16' or 'float32'."
        )
    return profile
