"""`vllmlint upgrade`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from vllmlint.cli.check import EXIT_FINDINGS, EXIT_USAGE, print_contract_error, read_stdin
from vllmlint.lint.contracts import ContractError
from vllmlint.lint.run import RunOptions, Shard
from vllmlint.plans.upgrade import upgrade_world
from vllmlint.reports.options import terminal_width
from vllmlint.serving.release import Release
from vllmlint.sources.files import SourceError

_HEADS = ("kind", "name", "line", "before", "after", "breaks", "write instead")
#: The widest a column gets before its text is folded; the last takes what the terminal leaves.
_WIDTHS = (7, 36, 20, 26, 40, 6)
_SMALLEST_LAST = 30


def run(
    paths: Sequence[str],
    to: str,
    source: str | None,
    fmt: str,
    *,
    all_defaults: bool,
    stdin_filename: str,
    contract: str | None,
) -> int:
    """Print what each server becomes at another release.

    Returns the exit code: 1 when a change breaks something, 2 for a wrong usage or contract.
    """
    target = Release.parse(to)
    origin = Release.parse(source) if source is not None else None
    if fmt not in {"text", "json"}:
        return _usage(f"--format {fmt!r}: choose one of text, json")
    if target is None:
        return _usage(f"--to {to!r}: not a vLLM release; write one such as 0.33.0")
    if source is not None and origin is None:
        return _usage(f"--from {source!r}: not a vLLM release; write one such as 0.10.2")
    try:
        inputs = read_stdin(paths, stdin_filename)
        shard = Shard(RunOptions(inputs, contract_path=contract), inputs)
    except SourceError as error:
        return _usage(str(error))
    except ContractError as error:
        print_contract_error(error)
        return EXIT_USAGE
    shard.world.build_servers()
    plan = upgrade_world(shard.world, target, source=origin, all_defaults=all_defaults)
    if fmt == "json":
        json.dump(plan, sys.stdout, indent=2)
        print()
    else:
        print(render(plan, terminal_width()), end="")
        for file in shard.world.files:
            for problem in file.file.problems:
                print(f"{file.file.path}:{problem.place.line}: {problem.message}", file=sys.stderr)
    breaks = any(change["breaks"] for server in plan["servers"] for change in server["changes"])
    return EXIT_FINDINGS if breaks else 0


def _usage(message: str) -> int:
    print(f"vllmlint: {message}", file=sys.stderr)
    return EXIT_USAGE


def render(plan: dict[str, Any], width: int) -> str:
    """The plan as text: for each server a verdict and a table."""
    if not plan["servers"]:
        return "no vLLM server found\n"
    return "\n".join(_server(server, width) for server in plan["servers"])


def _server(server: dict[str, Any], width: int) -> str:
    obj = server["object"]
    lines = [
        f"{obj['kind']}/{obj['name']} container {server['container']} ({server['file']}):"
        f" {server['from'] or 'unknown release'} -> {server['to']}",
        verdict(server),
    ]
    lines += [f"note: {note}" for note in server["notes"]]
    if server["changes"]:
        rows = [_HEADS, *(_cells(change, server["file"]) for change in server["changes"])]
        lines += ["", *_table(rows, width)]
    return "\n".join(lines) + "\n"


def verdict(server: dict[str, Any]) -> str:
    """One line: how many changes break what, and how many are only to be known."""
    if server["from"] == server["to"]:
        return "nothing changes: it runs this release already"
    counts = Counter(
        change["kind"] if change["kind"] in {"probe", "metric"} else "start"
        for change in server["changes"]
        if change["breaks"]
    )
    what = {"start": "the start", "probe": "probes", "metric": "what reads its metrics"}
    parts: list[str] = []
    for kind, words in what.items():
        if number := counts[kind]:
            noun = ("change" if number == 1 else "changes") if not parts else ""
            parts.append(f"{number} {noun} break{'s' if number == 1 else ''} {words}".replace("  ", " "))
    others = sum(not change["breaks"] for change in server["changes"])
    if not parts:
        return f"nothing further breaks; {_others(others)}" if others else "nothing changes for this manifest"
    return ", ".join(parts) + (f"; {_others(others)}" if others else "")


def _others(number: int) -> str:
    return "1 change to know" if number == 1 else f"{number} changes to know"


def _cells(change: dict[str, Any], file: str) -> tuple[str, ...]:
    line = ""
    if change["line"] is not None:
        line = str(change["line"]) if change["file"] == file else f"{change['file']}:{change['line']}"
    advice = change["replacement"] or ""
    if change["note"]:
        advice = f"{advice} ({change['note']})" if advice else f"({change['note']})"
    return (
        change["kind"],
        change["name"],
        line,
        change["before"] or "",
        change["after"] or "",
        "yes" if change["breaks"] else "",
        advice,
    )


def _table(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """Aligned columns two blanks apart; a text that is too long goes on below in its column."""
    widths = [_column_width([row[index] for row in rows], limit) for index, limit in enumerate(_WIDTHS)]
    last = max(_SMALLEST_LAST, width - 2 - sum(each + 2 for each in widths))
    lines: list[str] = []
    for row in rows:
        cells = [_fold(text, size) for text, size in zip(row, (*widths, last), strict=True)]
        for index in range(max(len(cell) for cell in cells)):
            parts = [cell[index] if index < len(cell) else "" for cell in cells]
            padded = [part.ljust(size) for part, size in zip(parts, widths, strict=False)]
            lines.append(("  " + "  ".join((*padded, parts[-1]))).rstrip())
    return lines


def _column_width(texts: Sequence[str], limit: int) -> int:
    """Wide enough for the longest text, or up to the limit and for the longest word."""
    longest_word = max(len(word) for text in texts for word in [*text.split(), ""])
    return max(min(limit, max(map(len, texts))), longest_word)


def _fold(text: str, width: int) -> list[str]:
    """A text in lines of `width`; what cannot be folded sticks out rather than be cut."""
    return wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
