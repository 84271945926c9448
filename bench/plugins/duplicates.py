"""Near-duplicates: texts whose sets of character 5-grams, digits masked, have a Jaccard similarity of at least 0.5.

Everything is decided by the texts alone: hashes are fixed, and texts are sorted first, so neither their order nor the
process or the platform matters. numpy, scipy and sklearn are imported inside functions: listing tasks needs none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

GRAM = 5
THRESHOLD = 0.5
BANDS, ROWS = 64, 3  # a pair at the threshold shares no band with a probability of 0.0002, one at 0.6 of 2e-7
WINDOW = 8  # texts of one band that each is compared with: a template's copies are linked without all their pairs
LIKELY = 0.3  # of the hashes are equal: for a pair at the threshold, 5.5 standard deviations below the mean
BLOCK = 1000  # texts whose grams fit into a processor's cache together
_DIGIT = re.compile(r"\d")


def grams(text: str) -> set[str]:
    """The 5-grams of a text, every digit read as 0. A text of less than five characters is its own only gram."""
    masked = _DIGIT.sub("0", text)
    return {masked[at : at + GRAM] for at in range(max(1, len(masked) - GRAM + 1))}


def similar(one: set[str], other: set[str]) -> bool:
    """Whether two sets of grams are those of near-duplicates."""
    common = len(one & other)
    return common >= THRESHOLD * (len(one) + len(other) - common)


def clusters(texts: Sequence[str]) -> list[int]:
    """The cluster of each text: two texts are in one if a chain of near-duplicates links them.

    Candidates are those with equal MinHash bands (Broder, 1997; Leskovec, Rajaraman and Ullman, chapter 3), and every
    link is exact.
    """
    import numpy as np

    if not texts:
        return []
    masked = [_DIGIT.sub("0", text) for text in texts]
    distinct = sorted(set(masked))
    place = {text: at for at, text in enumerate(distinct)}
    group = np.arange(len(distinct))
    different = set[tuple[int, int]]()
    signatures = _signatures(distinct)
    for one, other in _candidates(signatures):
        apart = group[one] != group[other]
        one, other = one[apart], other[apart]
        likely = (signatures[:, one] == signatures[:, other]).mean(axis=0) >= LIKELY
        pairs = set(zip(one[likely].tolist(), other[likely].tolist(), strict=True)) - different
        links = [pair for pair in pairs if similar(grams(distinct[pair[0]]), grams(distinct[pair[1]]))]
        different |= pairs.difference(links)
        if links:
            group = _joined(group, np.array(links))
    return [int(group[place[text]]) for text in masked]


def near(texts: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """Which of the texts have a near-duplicate, or an equal, among the others: [texts], bool.

    All pairs are compared, so this does not depend on hashes.
    """
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    if not (texts and others):
        return np.zeros(len(texts), dtype=bool)
    vectoriser = CountVectorizer(analyzer=grams, binary=True, dtype=np.int32)
    mine, theirs = vectoriser.fit_transform(texts), vectoriser.transform(others).T.tocsr()
    sizes, other_sizes = (np.array([len(grams(text)) for text in each]) for each in (texts, others))
    found = np.zeros(len(texts), dtype=bool)
    rows = max(1, 20_000_000 // len(others))
    for start in range(0, len(texts), rows):
        common = (mine[start : start + rows] @ theirs).tocoo()
        row = start + common.row
        union = sizes[row] + other_sizes[common.col] - common.data
        found[row[common.data >= THRESHOLD * union]] = True
    return found


def _signatures(texts: Sequence[str]) -> np.ndarray:
    """MinHash signatures: [BANDS * ROWS, texts]. The share of equal numbers estimates the Jaccard similarity."""
    import numpy as np

    blocks = (texts[start : start + BLOCK] for start in range(0, len(texts), BLOCK))
    return np.concatenate([_block_signatures(block) for block in blocks], axis=1)


def _block_signatures(texts: Sequence[str]) -> np.ndarray:
    import numpy as np

    padded = [text.ljust(GRAM, "\0") for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
    lengths = np.array([len(text) for text in padded])
    inside = np.ones(len(codes), dtype=bool)  # grams that begin here end in the same text
    for at in range(1, GRAM):
        inside[np.cumsum(lengths) - at] = False
    hashes = np.zeros(len(codes), dtype=np.uint64)
    for at in range(GRAM):
        hashes = hashes * _number("gram") + np.roll(codes, -at)
    hashes = hashes[inside]
    hashes = (hashes ^ (hashes >> np.uint64(31))) * _number("mix")
    hashes ^= hashes >> np.uint64(29)
    starts = np.cumsum(lengths - GRAM + 1) - (lengths - GRAM + 1)
    signatures = np.empty((BANDS * ROWS, len(texts)), dtype=np.uint32)
    for row in range(BANDS * ROWS):
        mixed = (hashes * _number(f"row {row}") >> np.uint64(32)).astype(np.uint32)
        signatures[row] = np.minimum.reduceat(mixed, starts)
    return signatures


@cache
def _number(name: str) -> np.uint64:
    """A fixed odd number of 64 bits."""
    import numpy as np

    return np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") | 1)


def _candidates(signatures: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of texts with an equal band, each at most WINDOW places apart among those of that band."""
    import numpy as np

    for band in range(0, BANDS * ROWS, ROWS):
        key = sum(signatures[band + row].astype(np.uint64) * _number(f"band {row}") for row in range(ROWS))
        order = np.argsort(key, kind="stable")
        key = key[order]
        for apart in range(1, WINDOW + 1):
            equal = np.flatnonzero(key[:-apart] == key[apart:])
            if not len(equal):
                break
            yield order[equal], order[equal + apart]


def _joined(group: np.ndarray, links: np.ndarray) -> np.ndarray:
    """The groups, with those of linked texts made one."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = group[links.T]
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(len(group), len(group)))
    return connected_components(graph, directed=False)[1][group]
