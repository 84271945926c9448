"""Tuning: learning rates on a grid, then other settings and a second seed at the best of them; chosen on validation.

`search` says what to try next, `choice` which recipes come of it, `requests` makes grids of it, `files` writes it down.
"""
