"""Fuzz targets: what reads other people's files and words, and drivers that try to break it.

`python -m fuzz TARGET --seconds 600` looks for inputs with atheris (the extra `fuzz`), and tests/test_fuzz_targets.py
tries a few with hypothesis in every run of the tests.
"""
