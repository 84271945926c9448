"""Fuzzing of everything that reads untrusted input.

`python -m fuzz TARGET --seconds 600` searches for inputs with atheris (the extra `fuzz`); tests/fuzz tries a few with
hypothesis in every test run.
"""
