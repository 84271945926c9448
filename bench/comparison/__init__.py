"""Two results folders, and what the second made worse: matching rows, judging them, and saying so."""
