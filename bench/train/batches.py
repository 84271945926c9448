"""Which examples share a batch, and in which order the batches come."""

import numpy as np

POOL = 50  # batches in a pool, whose examples are sorted by length together


def epoch_batches(lengths: np.ndarray, batch_size: int, seed: int) -> list[np.ndarray]:
    """Length-grouped batches of one epoch: each example exactly once, in an order drawn from the seed.

    The examples are shuffled, cut into pools of POOL batches, sorted by length within a pool, cut into
    batches, and the batches are shuffled. Examples of a batch have similar lengths, so little is padding,
    and which examples share a batch changes from epoch to epoch.

    Args:
        lengths: tokens an example, [examples].
        batch_size: examples a batch; the last batch of an epoch may be smaller.
        seed: of this epoch.

    Returns:
        Arrays of example indices, one a batch.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    order = generator.permutation(len(lengths))
    size = batch_size * POOL
    # A stable sort keeps the drawn order among examples of one length.
    pools = (order[at : at + size] for at in range(0, len(order), size))
    sorted_pools = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    batches = [pool[at : at + batch_size] for pool in sorted_pools for at in range(0, len(pool), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def sorted_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for evaluation, longest examples first: little padding, and too little memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
