"""What to write instead of a flag that a release does not know."""

from __future__ import annotations

from functools import lru_cache

from vllmlint.serving.arg_errors import Span
from vllmlint.serving.arg_results import UnknownFlag
from vllmlint.serving.flag_tables import Entrypoint, flag_history, flag_table
from vllmlint.serving.release import Release

#: Below this likeness (0..1) a name is another word, not a slip of the same.
_LIKENESS = 0.78


def unknown_flag(
    word: int, span: Span, name: str, values: tuple[int, ...], release: Release, entrypoint: Entrypoint
) -> UnknownFlag:
    """The record of an unknown flag `name` (as written, with its dashes) at a place."""
    history = flag_history(name) if name.startswith("--") else None
    if history is None:
        suggestion = nearest_flag(name, release, entrypoint)
    else:
        suggestion = history.replacement
        if suggestion is not None and flag_table(release).get(suggestion) is None:
            # A replacement that this very release does not have is of no help.
            suggestion = None
    return UnknownFlag(word, span, name, suggestion, history, values)


@lru_cache(maxsize=256)
def nearest_flag(name: str, release: Release, entrypoint: Entrypoint) -> str | None:
    """The flag of the release that is spelled most like `name`; None when none is near."""
    # Only a mistake needs it, so a command line without one does not load it.
    from difflib import SequenceMatcher

    table = flag_table(release)
    strings = table.options(entrypoint)
    plain = name.lstrip("-").lower().replace("_", "-")
    if "-" + plain in strings:
        return "-" + plain
    if not plain:
        return None
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(plain)
    best, found = _LIKENESS, None
    for string in sorted(strings):
        if not string.startswith("--"):
            continue
        matcher.set_seq1(string[2:])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
            best, found = matcher.ratio(), string
    return found
