"""`python -m bench` and the console script `bench`."""

import sys
from typing import Any


def main() -> None:
    """Run the command line."""
    from bench.cli import app

    run_app(app, "bench" if not sys.argv[0].endswith("__main__.py") else "python -m bench")


def run_app(app: Any, name: str) -> None:
    """Run a typer app and exit; errors that the user can fix are one sentence, not a traceback."""
    from bench.errors import BenchError
    from bench.sanitize import one_line

    try:
        app(prog_name=name)
    except BenchError as error:
        # It may quote a file's name or content, which must not send commands to the terminal.
        print(f"Error: {one_line(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
