"""GitHub workflow commands, which become annotations of a pull request."""

from __future__ import annotations

from vllmlint.finding import Severity
from vllmlint.lint.result import Reported, RunResult
from vllmlint.reports.options import RenderOptions
from vllmlint.reports.summary import summary
from vllmlint.reports.terminal import clean

_COMMANDS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}


def render_github(result: RunResult, options: RenderOptions) -> str:
    """One workflow command a finding, then the summary as a plain line of the log."""
    return "\n".join([*map(_command, result.findings), clean(summary(result))]) + "\n"


def _command(item: Reported) -> str:
    start, end = item.spot.start, item.spot.end
    properties: dict[str, object] = {"file": item.spot.file, "line": start.line, "endLine": end.line}
    if start.line == end.line:
        # GitHub takes columns only for an annotation within one line
        properties |= {"col": start.column, "endColumn": end.column}
    properties["title"] = f"{item.name} ({item.rule})"
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    finding = item.finding
    text = f"{finding.message}\n{finding.help}" if finding.help else finding.message
    return f"::{_COMMANDS[item.severity]} {listed}::{_message(text)}"


def _message(text: str) -> str:
    """The text as the value of a command; line breaks and percent signs travel encoded."""
    encoded = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return clean(encoded)


def _property(value: object) -> str:
    """The value of a property, in which `:` and `,` would end it."""
    return _message(str(value)).replace(":", "%3A").replace(",", "%2C")
