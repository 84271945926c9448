"""Metrics, one a file, or a family that one library computes. A file dropped in here is found by itself."""
