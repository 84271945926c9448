"""`python -m bench` and the console script `bench`."""

import sys


def main() -> None:
    """Run the command line; errors that are the user's to mend are one sentence, not a traceback."""
    from bench.cli import app
    from bench.errors import BenchError

    try:
        app(prog_name="bench" if not sys.argv[0].endswith("__main__.py") else "python -m bench")
    except BenchError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
