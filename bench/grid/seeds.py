"""Seeds as hashes of named axes, so that no two streams are alike and none depends on another's draws.

The user's seed is never used itself. Every source of chance has an axis of its own: two methods at one
seed see the same batches and start from the same head, because nothing of the method enters those axes.
(The idea is benchopt's: a seed is a hash of the names of what it seeds.)
"""

import hashlib

DATA_ORDER = "data-order"  # which examples share a batch, and the order of the batches
HEAD_INIT = "head-init"  # the task head's weights
METHOD_INIT = "method-init"  # what the method adds
TRAINING = "training"  # dropout and whatever else draws during a step


def derive(seed: int, *axes: str | int) -> int:
    """A 63-bit seed for one stream: a hash of the user's seed and the axes' names, in order."""
    text = "\x1f".join([str(seed), *(f"{type(axis).__name__}:{axis}" for axis in axes)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def streams(seed: int) -> dict[str, int]:
    """The derived seed of every stream, as recorded with a cell."""
    return {axis: derive(seed, axis) for axis in (DATA_ORDER, HEAD_INIT, METHOD_INIT, TRAINING)}
