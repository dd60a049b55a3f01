"""What a user can choose about a report, and what the terminal is like."""

from __future__ import annotations

import os
import shutil
import sys

from vllmlint.record import record
from vllmlint.version import __version__


@record
class RenderOptions:
    """How to render a run.

    `color`, `width`, `statistics` and `verbose` matter to the text report only. `statistics` gives
    counts per rule instead of findings; `show_suppressed` adds what an ignore silenced (text, json,
    sarif); `verbose` adds objects, pages, every lost input and tracebacks.
    """

    color: bool = False
    width: int = 100
    statistics: bool = False
    show_suppressed: bool = False
    verbose: bool = False
    version: str = __version__


def wants_color() -> bool:
    """Whether standard output is to be coloured: a terminal, and not forbidden (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def terminal_width() -> int:
    """Columns to write in: the terminal's, or 100 where there is none."""
    return (
        shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() or "COLUMNS" in os.environ else 100
    )
