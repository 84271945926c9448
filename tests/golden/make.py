"""Write numbers.json anew: `python tests/golden/make.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import golden

sys.exit(golden.write())
