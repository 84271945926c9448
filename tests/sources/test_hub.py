"""The hub and its mirror, always with a stand-in for the hub."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub.utils._paths import filter_repo_objects

from bench.errors import SourceError
from bench.sources.digest import tree_digest
from bench.sources.resolve import Resolved, local, resolve

COMMIT = "0123456789" * 4


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror" / "owner" / "name" / "part"
    folder.mkdir(parents=True)
    (folder / "train.parquet").write_bytes(b"rows")
    return tmp_path / "mirror"


class Hub:
    """A hub with these files; it records the last request, and what it was asked the commit of."""

    def __init__(self, folder: Path, *files: str) -> None:
        self.folder, self.files = folder / "snapshots" / COMMIT, files
        self.request: dict[str, object] = {}
        self.asked: list[tuple[str, str, str | None]] = []

    def repo_info(self, repo_id: str, *, repo_type: str, revision: str | None) -> SimpleNamespace:
        self.asked.append((repo_id, repo_type, revision))
        return SimpleNamespace(sha=COMMIT)

    def __call__(self, repo_id: str, **options: object) -> str:
        self.request = {"repo_id": repo_id, **options}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in filter_repo_objects(self.files, allow_patterns=options["allow_patterns"]):  # type: ignore[arg-type]
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(name)
        return str(self.folder)

    def downloaded(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hub]:
    def make(*files: str) -> Hub:
        made = Hub(tmp_path / "hub", *files)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", made)
        monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", made.repo_info)
        return made

    return make


@pytest.mark.parametrize("ref", ["hub:datasets/owner/name@main!/part", "hub:owner/name@main!/part/",
                                 "hub:datasets/owner/name!/part"])  # fmt: skip
def test_the_mirror_comes_first(mirror: Path, monkeypatch: pytest.MonkeyPatch, ref: str) -> None:
    folder = mirror / "owner" / "name" / "part"
    expected = Resolved(folder, tree_digest(folder))
    assert resolve(ref, mirror=mirror) == local(ref, mirror) == expected
    monkeypatch.setenv("BENCH_MIRROR", str(mirror))
    assert resolve(ref) == expected


def test_what_the_mirror_lacks_is_downloaded_and_not_local(mirror: Path, hub: Callable[..., Hub]) -> None:
    made = hub("train.parquet", "other/train.parquet", "other/script.py")
    ref = "hub:datasets/owner/name@main!/other"
    assert local(ref, mirror) is None
    assert made.request == {}
    assert resolve(ref, mirror=mirror) == Resolved(made.folder / "other", f"commit:{COMMIT}")
    assert made.downloaded() == ["other/train.parquet"]
    request = (made.request["repo_id"], made.request["repo_type"], made.request["revision"])
    assert request == ("owner/name", "dataset", "main")
    assert made.asked == [("owner/name", "dataset", "main")]


@pytest.mark.parametrize(("kind", "ref"), [("model", "hub:owner/name"), ("dataset", "hub:datasets/owner/name")])
def test_without_a_revision_it_is_the_current_commit_and_that_is_said(
    kind: str, ref: str, hub: Callable[..., Hub]
) -> None:
    made = hub("model.safetensors", "train.parquet")
    found = resolve(ref)
    assert made.asked == [("owner/name", kind, None)]
    assert made.request["revision"] is None  # or the library's cache would not know what the current commit was
    assert found == Resolved(made.folder, f"commit:{COMMIT}")
    assert found.note == f"owner/name: the hub's current commit is {COMMIT}."
    assert resolve(f"{ref}@main").note == f"owner/name: the hub's current commit of main is {COMMIT}."
    made.asked.clear()
    assert resolve(f"{ref}@{COMMIT}").note is None
    assert made.asked == []


def test_out_of_reach_the_cached_commit_is_used_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the hub's own library, and its cache as it writes it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--owner--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    found = resolve("hub:owner/name")
    assert found == Resolved(snapshot, f"commit:{COMMIT}")
    assert found.note is not None
    assert found.note.startswith(
        "owner/name: the latest commit in the hub's cache here, as the hub could not be asked ("
    )
    assert found.note.endswith(f"), is {COMMIT}.")
    with pytest.raises(SourceError, match=r"of the model owner/absent at the current commit: .*LocalEntryNotFound"):
        resolve("hub:owner/absent")


def test_a_forecast_needs_no_weights(hub: Callable[..., Hub]) -> None:
    made = hub("config.json", "tokenizer.json", "model.safetensors")
    assert resolve("hub:owner/name", weights=False).path == made.folder
    assert made.downloaded() == ["config.json", "tokenizer.json"]


def test_a_model_is_weights_in_safetensors_and_never_a_pickle(hub: Callable[..., Hub]) -> None:
    safe = ["config.json", "model.safetensors", "tokenizer.model", "vocab.txt"]
    unsafe = ["pytorch_model.bin", *(f"tokenizer.{end}" for end in ("pt", "pkl", "py", "ckpt", "h5", "joblib"))]
    made = hub(*safe, *unsafe, "modeling.py")
    assert resolve(f"hub:owner/name@{COMMIT}").path == made.folder
    assert made.downloaded() == safe
    assert made.request["repo_type"] == "model"


def test_one_file_of_the_hub(hub: Callable[..., Hub]) -> None:
    made = hub("part/train.csv", "part/test.csv")
    assert resolve("hub:datasets/owner/name@main!/part/test.csv").path.read_text() == "part/test.csv"
    assert made.downloaded() == ["part/test.csv"]


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("hub:owner/name@main", r"no weights in safetensors, .*hub:owner/name@refs/pr/NUMBER"),
        ("hub:owner/name@main!/part", "no such data"),
        ("hub:datasets/owner/name@main!/part", "no such data"),
    ],
)
def test_a_hub_repository_without_what_is_needed(hub: Callable[..., Hub], ref: str, expected: str) -> None:
    hub("config.json", "pytorch_model.bin")
    with pytest.raises(SourceError, match=expected):
        resolve(ref)


def test_a_hub_out_of_reach_says_what_to_do(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(SourceError) as caught:
        resolve("hub:datasets/owner/absent@refs/convert/parquet", mirror=mirror)
    message = str(caught.value)
    for part in ("refs/convert/parquet", f"no {mirror}/owner/absent", "--mirror DIR", "BENCH_MIRROR"):
        assert part in message
    assert "\n" not in message
    with pytest.raises(SourceError, match="no mirror is set"):
        resolve("hub:owner/absent@main")
