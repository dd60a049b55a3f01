"""The closing words of a run: how much was read, found, and not judged."""

from __future__ import annotations

from collections import Counter

from vllmlint.lint.result import RunResult
from vllmlint.wording import plural

#: Reasons for skipping that are named in the summary; the rest are counted.
_MAX_REASONS = 3


def summary(result: RunResult) -> str:
    """One line that closes a report for people."""
    servers = plural(result.servers, "server") if result.servers else "no vLLM server"
    parts = [f"{plural(result.files, 'file')}, {servers}: {_found(result)}"]
    rest = []
    if result.suppressed:
        rest.append(f"{len(result.suppressed)} suppressed")
    if result.skipped:
        rest.append(_skipped(result))
    if result.lost_inputs:
        rest.append(f"{plural(len(result.lost_inputs), 'value')} not judged")
    if result.internal_errors:
        rest.append(plural(len(result.internal_errors), "internal error"))
    if rest:
        parts.append(", ".join(rest))
    return "; ".join(parts)


def _found(result: RunResult) -> str:
    counts = [
        plural(result.count("error"), "error"),
        plural(result.count("warning"), "warning"),
        f"{result.count('info')} info",
    ]
    return ", ".join(text for text in counts if not text.startswith("0 ")) or "no problems found"


def _skipped(result: RunResult) -> str:
    """What was skipped, with the reasons, most frequent first."""
    files = sum(1 for item in result.skipped if item.document is None)
    documents = len(result.skipped) - files
    what = [plural(count, noun) for count, noun in ((files, "file"), (documents, "document")) if count]
    reasons = Counter(item.reason for item in result.skipped).most_common()
    named = [f"{count} {reason}" for reason, count in reasons[:_MAX_REASONS]]
    if others := sum(count for _, count in reasons[_MAX_REASONS:]):
        named.append(f"{others} for other reasons")
    return f"{' and '.join(what)} skipped ({', '.join(named)})"
