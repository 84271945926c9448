"""`python -m bench` and the console script `bench`."""

import sys


def main() -> None:
    """Run the command line; errors that are the user's to mend are one sentence, not a traceback."""
    from bench.cli import app
    from bench.errors import BenchError
    from bench.sanitize import one_line

    try:
        app(prog_name="bench" if not sys.argv[0].endswith("__main__.py") else "python -m bench")
    except BenchError as error:
        # It may quote a file's name or content: nothing in it commands the terminal.
        print(f"Error: {one_line(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
