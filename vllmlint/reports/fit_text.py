"""Plans of `fit` as text: the verdict, one stacked bar a stage with its terms, and what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllmlint.reports.terminal import Palette, clean, columns, wrap

Data = Mapping[str, Any]

#: Words for a verdict, and the style they are painted in.
VERDICTS = {
    "fits": ("fits", "good"),
    "does-not-fit": ("does not fit", "error"),
    "depends": ("depends", "warning"),
    "unknown": ("cannot tell", "info"),
}
#: The parts of the bar in the order of vLLM's own sum: key of `per_gpu`, glyph, name, style.
_PARTS = (
    ("weights_gib", "#", "weights", "line"),
    ("activation_gib", "=", "activation", "warning"),
    ("buffers_gib", "+", "buffers", "warning"),
    ("non_torch_gib", "-", "non-torch", "related"),
    ("cuda_graph_gib", ":", "CUDA graphs", "related"),
    ("kv_gib", ".", "KV cache", "good"),
)
_WIDEST_BAR, _NARROWEST_BAR = 72, 20
#: Below this the effect of a suggestion goes on a line of its own.
_NARROWEST_EFFECT = 30
#: A bar is drawn to the total memory; what one column stands for follows from its width.
_NAME_WIDTH = max(len(name) for _, _, name, _ in _PARTS)


def render_plans(document: Data, *, color: bool, width: int, explain: bool = False) -> str:
    """The plans of a `fit` document as text, one block each."""
    palette = Palette(color)
    plans = document["plans"]
    if not plans:
        return "no vLLM server found\n"
    blocks = []
    for number, plan in enumerate(plans):
        same = number > 0 and plans[number - 1]["server"] == plan["server"]
        blocks.append(_block(plan, palette, width, explain=explain, headed=not same))
    return "\n".join(blocks)


def _block(plan: Data, palette: Palette, width: int, *, explain: bool, headed: bool) -> str:
    lines: list[str] = []
    if plan["server"] is not None and headed:
        lines += [palette.paint(line, "bold") for line in wrap(server_title(plan["server"]), width)]
    lines += wrap(_title(plan), width)
    lines += _verdict(plan, palette, width)
    refusal = plan["refusal"]
    if refusal is not None and refusal["message"] not in plan["reason"]:
        lines += _note("vLLM says:", refusal["message"], palette, width)
    lines += [line for note in plan["assumptions"] for line in _note("assumes", note, palette, width)]
    for stage in _stages(plan):
        lines += ["", *_stage(plan, stage, palette, width)]
    if explain:
        lines += _explained(plan, palette, width)
    lines += _suggested(plan, palette, width)
    if "comparison" in plan:
        lines += _compared(plan, palette, width)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def server_title(server: Data) -> str:
    """How a server is called in a heading."""
    obj = server["object"]
    return f"{obj['kind']}/{obj['name']} container {server['container']} ({server['file']})"


def _title(plan: Data) -> str:
    model = clean(plan["model"]["id"] or "unknown model")
    parts = [model, f"vLLM {plan['release']}", _gpu(plan)]
    if plan["pool"]:
        parts.append(f"pool {clean(plan['pool'])}")
    return ", ".join(parts)


def _gpu(plan: Data) -> str:
    gpu = plan["gpu"]
    if gpu is None:
        return "unknown GPU"
    count = plan["gpus"]
    many = f"{count} x " if count is not None else ""
    engines = plan["settings"].get("data_parallel_size")
    if isinstance(engines, int) and engines > 1:
        many = f"{engines} engines of {many or 'one '}"
    memory = "memory not known" if gpu["memory_gib"] is None else f"{gpu['memory_gib']:.2f} GiB each"
    return f"{many}{clean(gpu['id'])} ({memory})"


def _verdict(plan: Data, palette: Palette, width: int) -> list[str]:
    words, style = VERDICTS[plan["verdict"]]
    text = f"{words}: {plan['reason']}" if plan["reason"] else words
    lines = wrap(text, width)
    # only the verdict itself is painted; it never breaks over two lines in a usable terminal
    if lines and lines[0].startswith(words):
        lines[0] = palette.paint(words, style) + lines[0][len(words) :]
    return lines


def _note(label: str, text: str, palette: Palette, width: int) -> list[str]:
    lines = wrap(f"{label} {text}", width)
    return [palette.paint(line, "dim") for line in lines]


def _stages(plan: Data) -> Sequence[Data]:
    if plan["per_gpu"] is None:
        return ()
    stages: Sequence[Data] = plan["stages"]
    return stages if len(stages) > 1 else (plan["per_gpu"],)


def _stage(plan: Data, stage: Data, palette: Palette, width: int) -> list[str]:
    total = plan["gpu"]["memory_gib"]
    lines = []
    if len(plan["stages"]) > 1:
        number = next(i for i, one in enumerate(plan["stages"]) if one is stage)
        tight = ", the tightest" if number == plan["tightest_stage"] else ""
        lines.append(f"  pipeline stage {number + 1} of {len(plan['stages'])}{tight}")
    lines.append("  " + bar(stage, total, max(_NARROWEST_BAR, min(_WIDEST_BAR, width - 4)), palette))
    for key, glyph, name, style in _PARTS:
        amount = stage[key]
        note = _kv_note(plan) if key == "kv_gib" else ""
        lines += _row(palette.paint(glyph, style), name, amount, note, width)
    utilization = plan["settings"].get("gpu_memory_utilization")
    if stage["requested_gib"] is not None:
        left = total - stage["requested_gib"]["mid"]
        text = f"gpu_memory_utilization {utilization}" if utilization is not None else ""
        lines += _row(" ", "left alone", {"low": left, "mid": left, "high": left}, text, width)
    return lines


def _row(glyph: str, name: str, amount: Data, note: str, width: int) -> list[str]:
    band = "" if exact(amount) else f"{amount['low']:.2f} to {amount['high']:.2f}"
    head = f"{name:<{_NAME_WIDTH}} {amount['mid']:>8.2f} GiB"
    if not note:
        return [f"  {glyph} {head}  {band}"]
    start = f"{head}  {band:<16}"
    room = width - columns(start) - 6
    if room < _NARROWEST_BAR:
        return [f"  {glyph} {head}  {band}", *(f"      {line}" for line in wrap(note, max(width - 6, 20)))]
    first, *others = wrap(note, room)
    return [f"  {glyph} {start}  {first}", *(" " * (columns(start) + 6) + line for line in others)]


def _kv_note(plan: Data) -> str:
    needed = plan["needed_gib"]
    length = plan["settings"].get("max_model_len")
    if needed is None or not needed["mid"] or not isinstance(length, int):
        return ""
    return f"one request of {length:,} tokens needs {needed['mid']:.2f}"


def exact(amount: Data) -> bool:
    """Whether a band shows as one number."""
    return f"{amount['low']:.2f}" == f"{amount['high']:.2f}"


def bar(stage: Data, total: float, width: int, palette: Palette) -> str:
    """A stacked bar of `width` columns between brackets for `total` GiB.

    A part that takes anything at all shows one column at least; amounts that exceed the total (a
    start that fails) run over the closing bracket's place, which then reads `>`.
    """
    inner = width - 2
    drawn, end, filled = "", 0.0, 0
    for key, glyph, _, style in _PARTS:
        amount = max(stage[key]["mid"], 0.0)
        end += amount
        upto = round(end / total * inner)
        size = max(upto - filled, 1) if amount > 0 else 0
        size = min(size, inner - filled)
        drawn += palette.paint(glyph * size, style)
        filled += size
    return f"[{drawn}{' ' * (inner - filled)}{'>' if end > total else ']'}"


def _explained(plan: Data, palette: Palette, width: int) -> list[str]:
    """Every term with its formula, band and reason, by stage."""
    lines: list[str] = []
    many = len(plan["stages"]) > 1
    stage: Any = None
    for term in plan.get("terms", ()):
        if term["stage"] != stage:
            stage = term["stage"]
            title = f"how it adds up, pipeline stage {stage + 1}" if many else "how it adds up"
            lines += ["", palette.paint(f"  {title}", "bold")]
        amount = term["gib"]
        band = "" if exact(amount) else f" ({amount['low']:.3f} to {amount['high']:.3f})"
        lines += _indented(f"{term['part']}: {term['name']} = {amount['mid']:.3f} GiB{band}", 4, width)
        lines += _indented(term["formula"], 8, width)
        if term["reason"]:
            lines += [palette.paint(line, "dim") for line in _indented(term["reason"], 8, width)]
    return lines


def _indented(text: str, indent: int, width: int) -> list[str]:
    if not text:
        return []
    return [" " * indent + line for line in wrap(text, max(width - indent, _NARROWEST_BAR))]


def _suggested(plan: Data, palette: Palette, width: int) -> list[str]:
    if not plan["suggestions"]:
        return []
    lines = ["", palette.paint("  each of these was worked out again and", "bold")]
    wanted = plan["suggestions"][0].get("goal") or "fits"
    lines[-1] += palette.paint(f" {wanted}", "bold")
    widest = max(columns(one["change"]) for one in plan["suggestions"])
    for one in plan["suggestions"]:
        change = clean(one["change"])
        start = f"    {change:<{min(widest, 40)}}  "
        if width - columns(start) < _NARROWEST_EFFECT:
            lines += [palette.paint(start, "help"), *_indented(one["effect"], 8, width)]
            continue
        first, *others = wrap(one["effect"], width - columns(start))
        lines += [palette.paint(start, "help") + first, *(" " * columns(start) + line for line in others)]
    return lines


def _compared(plan: Data, palette: Palette, width: int) -> list[str]:
    """The prediction beside a log, quantity by quantity."""
    comparison = plan["comparison"]
    lines = ["", palette.paint(f"  beside {clean(comparison['log'])}", "bold")]
    lines.append(f"    {'':<20} {'predicted':>12} {'logged':>12} {'error':>9}  band")
    for row in comparison["quantities"]:
        if row["logged"] is None:
            continue
        predicted = row["predicted"]
        figure = _figure(predicted["mid"], row["unit"]) if predicted is not None else "-"
        error = f"{row['error_percent']:+.1f} %" if row["error_percent"] is not None else ""
        band = ""
        if predicted is not None:
            low, high = (_figure(predicted[end], row["unit"]) for end in ("low", "high"))
            band = f"{low} to {high}" + ("" if row["inside"] else ": outside")
        text = f"    {row['quantity']:<20} {figure:>12} {_figure(row['logged'], row['unit']):>12} {error:>9}"
        lines.append(text if columns(text) + columns(band) + 2 > width else f"{text}  {band}")
    outcome = comparison["outcome"]
    said = "it started" if outcome["started"] else f"it failed: {outcome['line']}"
    words, style = {
        True: ("as predicted", "good"),
        False: ("not as predicted", "error"),
        None: ("the plan leaves it open", "warning"),
    }[outcome["agrees"]]
    lines += _indented(said, 4, width)
    lines.append("    " + palette.paint(words, style))
    return lines


def _figure(number: float, unit: str) -> str:
    return f"{number:.2f}" if unit in {"GiB", "requests"} else f"{number:,.0f}"
