"""The report for people: a picture for each finding, then a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vllmlint.lint.result import LostInput, Reported, RunResult
from vllmlint.reports.excerpt import Mark, excerpt
from vllmlint.reports.options import RenderOptions
from vllmlint.reports.summary import summary
from vllmlint.reports.terminal import Palette, clean, columns, wrap
from vllmlint.severity import SEVERITY_RANK, Severity
from vllmlint.wording import plural

#: Below this, lines are laid out as if the terminal were this wide.
MIN_WIDTH = 40
#: Kinds of lost input that are listed without `--verbose`.
_MAX_LOST = 5


def render_text(result: RunResult, options: RenderOptions) -> str:
    """The text report."""
    return "\n".join(_Writer(options).report(result)) + "\n"


class _Writer:
    """Writes the lines of one report."""

    def __init__(self, options: RenderOptions) -> None:
        self.options = options
        self.width = max(MIN_WIDTH, options.width)
        self.palette = Palette(options.color)

    def report(self, result: RunResult) -> Iterator[str]:
        """Every line of the report."""
        if self.options.statistics:
            yield from self.statistics(result)
        else:
            for item in result.findings:
                yield from self.finding(item)
                yield ""
            if self.options.show_suppressed:
                for item in result.suppressed:
                    yield from self.finding(item)
                    yield ""
        if result.lost_inputs:
            yield from self.lost_inputs(result.lost_inputs)
            yield ""
        if self.options.verbose:
            yield from self.details(result)
        for line in wrap(summary(result), self.width):
            yield self.palette.paint(line, "bold")

    def finding(self, item: Reported) -> Iterator[str]:
        """One finding: what, where, and what to do."""
        yield from self.headline(item)
        finding = item.finding
        marks = [Mark(item.spot, finding.label, item.severity)]
        marks += [Mark(spot, label) for spot, label in item.related]
        picture = excerpt(marks, width=self.width, palette=self.palette)
        yield from picture.rows
        for word, text in _notes(item, self.options.verbose):
            yield from self.note(picture.bar, word, text)

    def headline(self, item: Reported) -> Iterator[str]:
        """`error[rule-name]: message`, wrapped."""
        prefix = f"{item.severity}[{clean(item.name)}]:"
        lead = "suppressed " if item.suppressed_by else ""
        room = self.width - columns(lead + prefix) - 1
        first, *rest = wrap(item.finding.message, self.width - 2, first=max(room, 1))
        head = self.palette.paint(lead, "dim") + self.palette.paint(prefix, item.severity)
        yield f"{head} {self.palette.paint(first, 'bold')}".rstrip()
        for line in rest:
            yield self.palette.paint("  " + line, "bold")

    def note(self, bar: int, word: str, text: str) -> Iterator[str]:
        """`= help: text`, with further lines under the text."""
        lead = f"{'':{bar}}= "
        room = self.width - len(lead) - len(word) - 2
        first, *rest = wrap(text, room)
        style = word if word == "help" else "bold"
        yield f"{self.palette.paint(lead, 'line')}{self.palette.paint(word + ':', style)} {first}"
        for line in rest:
            yield f"{'':{self.width - room}}{line}".rstrip()

    def statistics(self, result: RunResult) -> Iterator[str]:
        """Counts per rule, most frequent first."""
        counts = Counter((item.rule, item.name) for item in result.findings)
        worst: dict[str, Severity] = {}
        for item in result.findings:
            known = worst.get(item.rule, item.severity)
            worst[item.rule] = max(known, item.severity, key=SEVERITY_RANK.__getitem__)
        digits = len(str(max(counts.values(), default=0)))
        # Counter keeps the order of findings among equals; a stable order by id reads better
        for (rule, name), count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            severity = self.palette.paint(f"{worst[rule]:<7}", worst[rule])
            yield f"{count:>{digits}}  {severity}  {clean(rule)}  {clean(name)}"
        if counts:
            yield ""

    def lost_inputs(self, lost: list[LostInput]) -> Iterator[str]:
        """What could not be judged: all of it when verbose, else one line a kind."""
        yield self.palette.paint("not judged:", "bold")
        if self.options.verbose:
            entries = [f"{_place(item)}: {item.input}: {item.effect}" for item in lost]
        else:
            kinds: dict[tuple[str, str], list[LostInput]] = {}
            for item in lost:
                kinds.setdefault((item.input, item.effect), []).append(item)
            entries = [
                f"{name}: {effect} ({_place(items[0])}{_and_more(len(items) - 1)})"
                for (name, effect), items in list(kinds.items())[:_MAX_LOST]
            ]
            if len(kinds) > _MAX_LOST:
                entries.append(f"and {plural(len(kinds) - _MAX_LOST, 'more kind')} (--verbose lists all)")
        for text in entries:
            yield from self.entry(text)

    def details(self, result: RunResult) -> Iterator[str]:
        """What was skipped and why, and the tracebacks of rules that raised."""
        if result.skipped:
            yield self.palette.paint("skipped:", "bold")
            for item in result.skipped:
                yield from self.entry(f"{item.file}:{item.line}: {item.reason}")
            yield ""
        for traceback in result.internal_errors:
            yield self.palette.paint("internal error:", "error")
            # not wrapped: a traceback is for copying into a report
            yield from ("  " + clean(line) for line in traceback.rstrip("\n").split("\n"))
            yield ""

    def entry(self, text: str) -> Iterator[str]:
        """One item of a list, wrapped."""
        first, *rest = wrap(text, self.width - 4)
        yield f"  - {first}"
        for line in rest:
            yield f"    {line}"


def _notes(item: Reported, verbose: bool) -> Iterator[tuple[str, str]]:
    finding = item.finding
    if finding.help:
        yield "help", finding.help
    if finding.fix is not None:
        caution = "" if finding.fix.safe else " (unsafe: it can change what works today)"
        yield "fix", finding.fix.title + caution
    notes = [f"assumes {text}" for text in finding.assumptions]
    if item.confidence != "high":
        notes.append(f"confidence {item.confidence}")
    if notes:
        yield "note", "; ".join(notes)
    if item.suppressed_by:
        yield "note", f"suppressed by {item.suppressed_by}"
    if verbose:
        if subject := _subject(item):
            yield "in", subject
        if item.url:
            yield "see", item.url


def _subject(item: Reported) -> str:
    """Which object, container and value a finding is about."""
    parts = []
    if item.object is not None:
        name = "/".join(part for part in (item.object.namespace, item.object.name) if part)
        parts.append(f"{item.object.kind} {name}".strip())
    if item.container:
        parts.append(f"container {item.container}")
    if item.path:
        parts.append(item.path)
    if item.environment:
        parts.append(f"environment {item.environment}")
    return ", ".join(parts)


def _place(item: LostInput) -> str:
    container = f", container {item.container}" if item.container else ""
    what = f" {item.object}{container}" if item.object else container.removeprefix(",")
    return f"{item.file}:{item.line}{what}"


def _and_more(count: int) -> str:
    return f", and {count} more" if count else ""
