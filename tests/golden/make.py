"""Write numbers.json anew: `python tests/golden/make.py`."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

import golden  # noqa: E402 - it is beside this file, and what it imports is not

sys.exit(golden.write())
