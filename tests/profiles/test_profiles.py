"""Profiles: the built-in ones, choosing among them, and what a wrong one is told."""

import os
import sys
import tomllib
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tomli_w

from bench import profiles
from bench.errors import ProfileError
from bench.profiles.probe import Gpu, Machine, probe


def a_machine(cores: int = 2, memory_mib: int = 24_000, gpu_mib: int = 0, capability: str = "8.9") -> Machine:
    card = Gpu(name="Card", memory_mib=gpu_mib, capability=capability, driver="570.1", cuda="12.8")
    fields = {"cpu_cores_allowed": cores, "memory_total_mib": memory_mib, "memory_limit_mib": None}
    return probe().model_copy(update={**fields, "gpus": (card,) if gpu_mib else ()})


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write a file of a valid profile called "mine" with these fields changed (None: left out)."""

    def write_profile(**changes: Any) -> Path:
        fields = profiles.load("cpu-2core").model_dump(exclude_none=True) | {"name": "mine"} | changes
        path = tmp_path / "mine.toml"
        path.write_text(tomli_w.dumps({key: value for key, value in fields.items() if value is not None}))
        return path

    return write_profile


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (a_machine(1), "cpu"), (a_machine(2), "cpu-2core"), (a_machine(3), "cpu-2core"), (a_machine(4), "cpu"),
        (a_machine(64), "cpu"), (a_machine(2, memory_mib=3000), "cpu"), (a_machine(8, gpu_mib=16_000), "gpu-bf16"),
        (a_machine(8, gpu_mib=24_217), "gpu-24gb"), (a_machine(8, gpu_mib=24_217, capability="7.5"), "gpu"),
        (a_machine(8, gpu_mib=81_050), "gpu-80gb"), (a_machine(2, gpu_mib=81_050), "gpu-24gb"),
        (a_machine(2, memory_mib=3000, gpu_mib=81_050), "cpu"), (a_machine(1, gpu_mib=4_000), "gpu-bf16"),
        (a_machine(8).model_copy(update={"mps": True}), "cpu"),
    ],
)  # fmt: skip
def test_auto_takes_the_most_demanding_that_fits(machine: Machine, name: str) -> None:
    profile, why = profiles.resolve("auto", machine)
    assert profile.name == name
    assert why.startswith(f"{name}: ")
    assert profiles.check(profile, machine) == []


def test_auto_says_why() -> None:
    assert profiles.choose(a_machine(1))[1] == "cpu: 1 core allowed, 24,000 MiB, no GPU"
    assert profiles.choose(a_machine(8, gpu_mib=81_000))[1].endswith("Card with 81,000 MiB")


def test_a_machine_too_small_for_any() -> None:
    small = a_machine(1, memory_mib=500)
    with pytest.raises(ProfileError, match=r"No built-in profile fits this machine \(1 core allowed, 500 MiB"):
        profiles.choose(small)
    with pytest.raises(ProfileError, match=r"500 MiB usable\. No built-in profile fits this machine"):
        profiles.require(profiles.load("cpu"), small)


def test_a_profile_the_machine_cannot_honour() -> None:
    with pytest.raises(ProfileError) as caught:
        profiles.resolve("gpu-24gb", a_machine())
    assert str(caught.value) == (
        "Profile gpu-24gb cannot be honoured here: needs a CUDA GPU with 22,000 MiB, none was found. "
        "Use --profile auto or one of: cpu, cpu-2core."
    )


def test_a_profile_for_any_gpu_takes_any_and_never_gives_less_than_it_says() -> None:
    any_gpu, bf16, mps = (profiles.load(name) for name in ("gpu", "gpu-bf16", "mps"))
    old = a_machine(gpu_mib=2_000, capability="5.2")
    assert profiles.check(any_gpu, old) == []
    assert (any_gpu.dtype, any_gpu.matmul_precision) == ("float32", "highest")
    assert profiles.check(bf16, old) == ["needs compute capability 8.0 for bfloat16, Card has 5.2"]
    assert profiles.check(any_gpu, a_machine()) == ["needs a CUDA GPU, none was found"]
    assert profiles.check(mps, old) == ["needs an Apple GPU that torch can use (MPS), none was found"]
    assert profiles.check(mps, a_machine().model_copy(update={"mps": True})) == []


def test_everything_that_is_missing_is_named() -> None:
    lacks = profiles.check(profiles.load("gpu-80gb"), a_machine(1, 2500, gpu_mib=11_000, capability="6.1"))
    assert lacks == [
        "needs 4 cores, 1 allowed",
        "needs 16,000 MiB of memory, 2,500 MiB usable",
        "needs a CUDA GPU with 78,000 MiB, the first one (Card) has 11,000 MiB",
        "needs compute capability 8.0 for bfloat16, Card has 6.1",
    ]


@pytest.mark.parametrize(
    ("wrong", "near"), [("CPU", "; did you mean 'cpu'?"), ("atuo", "; did you mean 'auto'?"), ("", ".")]
)
def test_an_unknown_name_gets_the_nearest_and_the_list(wrong: str, near: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profiles.resolve(wrong, a_machine())
    assert str(caught.value).startswith(f"There is no profile {wrong!r}{near} There are: auto, cpu, cpu-2core")


def test_a_profile_file(write: Any) -> None:
    path = write(threads=1, summary="mine alone")
    assert profiles.load(path) == profiles.load(str(path))
    profile, why = profiles.resolve(str(path), a_machine())
    assert profile.threads == 1
    assert why == "mine: 2 cores allowed, 24,000 MiB, no GPU"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zzz": 2}, "at 'zzz': Extra inputs are not permitted"),
        ({"dtype": None}, "at 'dtype': Field required"),
        ({"workers": True}, "at 'workers': Input should be a valid integer"),
        ({"name": "auto"}, ": name 'auto' is reserved"),
        ({"min_gpu_memory_mib": 8000}, ": min_gpu_memory_mib is for device 'cuda'"),
        ({"device": "mps", "dtype": "bfloat16"}, ": device 'mps' computes in dtype 'float32' only"),
        ({"device": "cuda", "dtype": "float16"}, "at 'dtype': float16 needs its loss scaled"),
        ({"workers": 2}, ": min_cores must be at least threads x workers = 4, not 2"),
        ({"processes": 2}, ": processes must be 1 or left out: a cell trains in one process"),
    ],
)
def test_a_wrong_field_is_named(write: Any, changes: dict[str, Any], message: str) -> None:
    path = write(**changes)
    with pytest.raises(ProfileError) as caught:
        profiles.load(path)
    assert f"Profile file {path} is wrong{'' if message.startswith(':') else ' '}{message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_of_earlier_versions_are_accepted_and_dropped(write: Any) -> None:
    assert profiles.load(write(exclusive=False, processes=1)) == profiles.load(write())


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for content in (b'name = "mine', b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ProfileError, match=r"mine\.toml is not valid TOML: "):
            profiles.load(path)
    for path, reason in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ProfileError, match=f"cannot be read: {reason}"):
            profiles.load(path)


def test_a_file_may_not_pass_for_a_built_in(write: Any) -> None:
    assert profiles.load(write(name="cpu-2core")) == profiles.load("cpu-2core")
    with pytest.raises(ProfileError, match="has the name of the built-in profile cpu-2core and other settings"):
        profiles.load(write(name="cpu-2core", micro_batch_size=8))


def test_thread_count_shares_the_cores_out(write: Any) -> None:
    shared = profiles.load(write(threads="all", workers=3))
    assert [shared.thread_count(cores) for cores in (1, 2, 6, 8)] == [1, 1, 2, 2]


@pytest.fixture
def torch_calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A torch that notes what is set, and whose inter-op threads have been set before."""
    calls: dict[str, Any] = {}

    def set_num_interop_threads(count: int) -> None:
        raise RuntimeError("cannot set number of interop threads after parallel work has started")

    names = ("set_num_threads", "set_float32_matmul_precision", "use_deterministic_algorithms")
    fake = SimpleNamespace(**{name: partial(calls.__setitem__, name) for name in names})
    fake.set_num_interop_threads = set_num_interop_threads
    fake.utils = SimpleNamespace(deterministic=SimpleNamespace(fill_uninitialized_memory=True))
    monkeypatch.setitem(sys.modules, "torch", fake)
    monkeypatch.setattr(profiles, "cpu_cores_allowed", lambda: 6)
    # So that monkeypatch puts back what `apply` sets.
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    return calls


@pytest.mark.parametrize(
    ("name", "threads", "precision", "workspace"),
    [("cpu-2core", 2, "highest", None), ("gpu-24gb", 6, "high", ":4096:8")],
)
def test_apply(torch_calls: dict[str, Any], name: str, threads: int, precision: str, workspace: str | None) -> None:
    profiles.apply(profiles.load(name))
    assert torch_calls == {
        "set_num_threads": threads,
        "set_float32_matmul_precision": precision,
        "use_deterministic_algorithms": True,
    }
    assert sys.modules["torch"].utils.deterministic.fill_uninitialized_memory is False
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == workspace


def test_every_built_in_file_writes_every_field_out() -> None:
    """A default would hide in the file what is part of a cell's identity."""
    required = {name for name, field in profiles.Profile.model_fields.items() if not field.exclude}
    required -= {
        "min_gpu_memory_mib",
        "gradient_checkpointing",
        "compile",
    }  # left out of an identity where they are not set
    for name in profiles.names():
        path = Path(profiles.__file__).parent / f"{name}.toml"
        assert required <= set(tomllib.loads(path.read_text()))
