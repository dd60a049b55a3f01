"""What a user can choose about a report."""

from __future__ import annotations

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
