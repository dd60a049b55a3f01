"""Make `docs/check.svg`, the picture in the README, from a real run on the founding manifest."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from vllmlint.lint.run import RunOptions, run_check
from vllmlint.reports import RenderOptions, render
from vllmlint.sources.files import find_inputs

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = "fixtures/founding/deployment.yaml"
WIDTH = 104


def screenshot() -> str:
    """The SVG: what a terminal shows of `vllmlint check` on the founding manifest."""
    os.chdir(ROOT)
    result = run_check(RunOptions(find_inputs([MANIFEST])))
    report = render(result, "text", options=RenderOptions(color=True, width=WIDTH))
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="standard"
    )
    console.print(Text.from_ansi(f"$ vllmlint check {MANIFEST}\n{report}"), end="", soft_wrap=False)
    return console.export_svg(title="vllmlint", unique_id="vllmlint")


def main() -> int:
    """Write the file."""
    (ROOT / "docs" / "check.svg").write_text(screenshot(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
