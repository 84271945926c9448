"""Published leaderboards inside Markdown files, with their plots."""

from bench.blocks.files import Made as Made
from bench.blocks.files import make as make
from bench.blocks.files import stale as stale
