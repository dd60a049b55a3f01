"""`python -m vllmlint` and the two console scripts."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line.

    `--version` alone is answered before anything is imported: scripts ask it often.
    """
    if sys.argv[1:] in (["--version"], ["-V"]):
        from vllmlint.version import __version__

        print(f"vllmlint {__version__}")
        return
    from vllmlint.cli.app import run

    run()


if __name__ == "__main__":
    main()
