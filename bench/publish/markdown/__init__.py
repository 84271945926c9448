"""Published leaderboards inside Markdown files, with their plots."""

from bench.publish.markdown.files import Made as Made
from bench.publish.markdown.files import make as make
from bench.publish.markdown.files import stale as stale
