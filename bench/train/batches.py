"""Which examples share a batch, and the parts of like length in which a batch is computed."""

from collections.abc import Iterator, Sequence

import numpy as np

from bench.grid import seeds
from bench.profiles import Profile

# What computing one more part of a batch costs beside its tokens, in tokens, by device: starting a few hundred
# operations, on few rows each. On a CPU measured with minilm-l6 on two cores; a larger model takes fewer tokens, but
# then a part more or less hardly counts. On a GPU an estimate: a start takes as long there, a token a hundredth.
PART_TOKENS = {"cpu": 64, "cuda": 4096, "mps": 4096}
# Tokens an example at which attention's weights, which grow with the square of the length, take as much memory as all
# else that is saved for the backward pass: an estimate, with which parts are compared.
ATTENTION_TOKENS = 400


def epoch_batches(examples: int, batch_size: int, seed: int) -> list[np.ndarray]:
    """Batches of one epoch drawn at random: each example exactly once.

    Lengths have no say in it: where labels go with lengths, batches of like length would be batches of one class.

    Args:
        examples: how many there are.
        batch_size: examples a batch; the last one may be smaller.
        seed: of this epoch.

    Returns:
        Arrays of example indices, one a batch.
    """
    order = np.random.Generator(np.random.PCG64(seed)).permutation(examples)
    return [order[at : at + batch_size] for at in range(0, examples, batch_size)]


def training_batches(examples: int, batch_size: int, steps: int, seed: int) -> Iterator[tuple[np.ndarray, bool]]:
    """The batches of a training, epoch after epoch, and whether each is the last of its epoch (or of all)."""
    done, epoch = 0, 0
    while done < steps:
        order = epoch_batches(examples, batch_size, seeds.derive(seed, "epoch", epoch))
        for batch in order[: steps - done]:
            done += 1
            yield batch, batch is order[-1] or done == steps
        epoch += 1


def parts_of(batch: np.ndarray, lengths: np.ndarray, profile: Profile) -> list[np.ndarray]:
    """The parts in which a batch is computed on the profile's device, as indices of examples; see `like_length_parts`.

    lengths: tokens an example, of all examples.
    """
    cuts = like_length_parts(lengths[batch], profile.micro_batch_size, PART_TOKENS[profile.device])
    return [batch[cut] for cut in cuts]


def like_length_parts(lengths: np.ndarray, largest: int, part_tokens: int) -> list[np.ndarray]:
    """Cut a batch into parts of like length, each padded to its own longest example, at the least cost.

    The cost of a part is its tokens, padding included, and `part_tokens`. The best of all cuts of the examples sorted
    by length is found by dynamic programming over the end of the last part.

    Args:
        lengths: tokens an example, [batch].
        largest: examples that a part may have.
        part_tokens: what a part costs beside its tokens.

    Returns:
        Arrays of positions in the batch, the part of the longest examples first; within a part as in the batch.
    """
    order = np.argsort(-lengths, kind="stable")
    widths = lengths[order]
    count = len(order)
    cost = np.zeros(count + 1)  # of the best cut of the first so many examples
    start = np.zeros(count + 1, dtype=np.int64)  # of its last part
    for end in range(1, count + 1):
        begins = np.arange(max(0, end - largest), end)
        costs = cost[begins] + (end - begins) * widths[begins] + part_tokens
        best = int(costs.argmin())
        cost[end], start[end] = costs[best], begins[best]
    parts = []
    while count:
        parts.append(np.sort(order[start[count] : count]))
        count = int(start[count])
    return parts[::-1]


class CostliestParts:
    """The parts that take the most memory, of all batches that were seen.

    A batch's first part is computed before there are gradients, its later ones beside them: the peak of a training is
    that of its costliest first part or of its costliest later one.
    """

    def __init__(self) -> None:
        self._found: dict[bool, tuple[float, np.ndarray]] = {}  # whether it is a first part -> its cost, its examples

    def see(self, parts: Sequence[np.ndarray], lengths: np.ndarray) -> None:
        """Args: parts: indices of the examples of one batch; lengths: tokens an example, of all examples."""
        for at, part in enumerate(parts):
            width = int(lengths[part].max())
            cost = len(part) * width * (1 + width / ATTENTION_TOKENS)
            if cost > self._found.get(at == 0, (0.0,))[0]:
                self._found[at == 0] = cost, part

    @property
    def parts(self) -> list[np.ndarray]:
        """The costliest first part, and the costliest later one if any batch had more than one part."""
        return [self._found[first][1] for first in (True, False) if first in self._found]


def sorted_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches for evaluation, longest examples first: little padding, and too little memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
