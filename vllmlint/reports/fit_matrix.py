"""`fit --gpu all` as a table: GPUs down, tensor parallel sizes across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllmlint.reports.fit_text import VERDICTS, server_title
from vllmlint.reports.terminal import Palette, clean, columns, wrap

Data = Mapping[str, Any]

_LEGEND = (
    "tokens of KV cache and requests of full length at once, by the careful end of the estimate;"
    " ? depends, by its middle; - does not fit"
)


def render_matrices(document: Data, *, color: bool, width: int) -> str:
    """One table for each server or command line of a `fit --gpu all` document."""
    palette = Palette(color)
    groups: dict[str, list[Data]] = {}
    for plan in document["plans"]:
        server = plan["server"]
        groups.setdefault(repr((server, plan["model"]["id"], plan["release"])), []).append(plan)
    blocks = [render_matrix(plans, palette, width) for plans in groups.values()]
    return "\n".join(blocks) or "no vLLM server found\n"


def render_matrix(plans: Sequence[Data], palette: Palette, width: int) -> str:
    """The plans of one model on many GPUs; a cell is the verdict, tokens and concurrency."""
    sizes = sorted({plan["settings"]["tensor_parallel_size"] for plan in plans})
    rows: dict[str, dict[int, Data]] = {}
    for plan in plans:
        rows.setdefault(plan["gpu"]["id"], {})[plan["settings"]["tensor_parallel_size"]] = plan
    table = _table(rows, sizes, brief=False)
    if _width(table) > width:
        table = _table(rows, sizes, brief=True)
    lines: list[str] = []
    if plans[0]["server"] is not None:
        lines += [palette.paint(line, "bold") for line in wrap(server_title(plans[0]["server"]), width)]
    lines += wrap(_title(plans[0]), width)
    lines += wrap(_LEGEND, width)
    return "\n".join([*lines, "", *_aligned(table, palette), *_refusals(plans, palette, width)]) + "\n"


def _table(
    rows: Mapping[str, Mapping[int, Data]], sizes: Sequence[int], *, brief: bool
) -> list[list[tuple[str, str]]]:
    """The cells with their styles, heads first; `brief` leaves out the concurrency."""
    heads = ["GPU", "GiB", *(f"TP {size}" for size in sizes)]
    table: list[list[tuple[str, str]]] = [[(head, "bold") for head in heads]]
    for gpu, cells in rows.items():
        memory = next(iter(cells.values()))["gpu"]["memory_gib"]
        figures = [cell(cells.get(size), brief=brief) for size in sizes]
        table.append([(clean(gpu), ""), (f"{memory:.2f}", ""), *figures])
    return table


def _width(table: Sequence[Sequence[tuple[str, str]]]) -> int:
    """Columns that a table takes, two between cells."""
    widest = [max(columns(row[index][0]) for row in table) for index in range(len(table[0]))]
    return sum(widest) + 2 * (len(widest) - 1)


def _title(plan: Data) -> str:
    length = plan["settings"].get("max_model_len")
    tokens = f", {length:,} tokens a request" if isinstance(length, int) and length > 0 else ""
    return f"{clean(plan['model']['id'] or 'unknown model')}, vLLM {plan['release']}{tokens}"


def cell(plan: Data | None, *, brief: bool = False) -> tuple[str, str]:
    """What a cell says, and its style; `brief`: tokens alone."""
    if plan is None:
        return "", ""
    verdict = plan["verdict"]
    words, style = VERDICTS[verdict]
    if verdict not in {"fits", "depends"} or plan["max_concurrency"] is None:
        return ("-" if verdict == "does-not-fit" else words), style
    mark = "" if verdict == "fits" else "? "
    amount = "low" if verdict == "fits" else "mid"
    many = "" if brief else f" {plan['max_concurrency'][amount]:.1f}x"
    return f"{mark}{short(plan['kv']['tokens'][amount])}{many}", style


def short(tokens: float) -> str:
    """A number of tokens in at most five characters, rounded down: `463k`, `1.2M`."""
    if tokens < 1000:
        return f"{tokens:.0f}"
    if tokens < 1_000_000:
        return f"{tokens // 1000:.0f}k"
    return f"{tokens // 100_000 / 10:.1f}M"


def _aligned(table: Sequence[Sequence[tuple[str, str]]], palette: Palette) -> list[str]:
    widths = [max(columns(row[index][0]) for row in table) for index in range(len(table[0]))]
    lines = []
    for row in table:
        cells = []
        for index, (text, style) in enumerate(row):
            padding = " " * (widths[index] - columns(text))
            painted = palette.paint(text, style)
            cells.append(painted + padding if index == 0 else padding + painted)
        lines.append("  ".join(cells).rstrip())
    return lines


def _refusals(plans: Sequence[Data], palette: Palette, width: int) -> list[str]:
    """Why cells are refused or unknown for another reason than memory, each reason once."""
    found: dict[str, list[str]] = {}
    for plan in plans:
        if plan["verdict"] == "unknown" or (plan["verdict"] == "does-not-fit" and plan["per_gpu"] is None):
            where = f"{plan['gpu']['id']} TP {plan['settings']['tensor_parallel_size']}"
            found.setdefault(plan["reason"], []).append(where)
    lines: list[str] = []
    for reason, places in found.items():
        shown = ", ".join(places[:3]) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
        lines += [palette.paint(line, "dim") for line in wrap(f"{shown}: {reason}", width)]
    return ["", *lines] if lines else []
