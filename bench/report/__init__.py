"""Records as one HTML page that needs nothing else: no network, no server, no file beside it."""

from bench.report.page import render as render
