"""Reading one split of a hub data set from its parquet files, wherever the repository's layout puts them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.errors import SourceError


def rows(folder: Path, split: str) -> Iterable[dict[str, Any]]:
    """The rows of `folder/SPLIT-*.parquet` or `folder/SPLIT/*.parquet`, in the order of the shards' names."""
    from datasets import Dataset, disable_progress_bars

    shards = sorted([*folder.glob(f"{split}-*.parquet"), *folder.glob(f"{split}/*.parquet")])
    if not shards:
        raise SourceError(f"{folder} holds no parquet file of the split {split!r}.")
    disable_progress_bars()
    return [row for shard in shards for row in Dataset.from_parquet(str(shard), keep_in_memory=True)]
