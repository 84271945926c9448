"""A benchmarking harness for parameter-efficient tuning, with PASTA at its centre."""

__version__ = "0.1.0"
