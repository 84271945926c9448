"""Tasks, one a file. A file dropped in here is found by itself; see CONTRIBUTING.md."""
