"""`vllmlint fit`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from vllmlint.cli.fit_errors import FitUsageError
from vllmlint.cli.fit_input import FitArguments, plan_document

EXIT_DOES_NOT_FIT = 1


def run(arguments: FitArguments) -> int:
    """Plan, print; returns the exit code.

    1: a server, or the command line, does not fit (with `--gpu all`: it fits nowhere); 2: usage or
    contract; 4: a hub that does not answer; 0 else, also where it depends or cannot be told.
    """
    try:
        document = plan_document(arguments)
    except FitUsageError as error:
        for line in error.lines:
            print(line, file=sys.stderr)
        return error.code
    if arguments.format == "json":
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        from vllmlint.reports.options import terminal_width, wants_color

        print(_text(document, arguments, color=wants_color(), width=terminal_width()), end="")
    return exit_code(document["plans"], everywhere=arguments.gpu == "all")


def _text(document: dict[str, Any], arguments: FitArguments, *, color: bool, width: int) -> str:
    if arguments.gpu == "all":
        from vllmlint.reports.fit_matrix import render_matrices

        return render_matrices(document, color=color, width=width)
    from vllmlint.reports.fit_text import render_plans

    return render_plans(document, color=color, width=width, explain=arguments.explain)


def exit_code(plans: Sequence[dict[str, Any]], *, everywhere: bool) -> int:
    """The exit code of some plans; `everywhere` asks whether there is any GPU at all to run on."""
    refused = [plan["verdict"] == "does-not-fit" for plan in plans]
    failed = bool(refused) and all(refused) if everywhere else any(refused)
    return EXIT_DOES_NOT_FIT if failed else 0
