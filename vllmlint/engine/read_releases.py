"""Which of the releases that a table was read from stands for another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from vllmlint.serving.release import Release


@cache
def parsed(releases: Sequence[str]) -> tuple[Release, ...]:
    """Releases from their texts, oldest first."""
    return tuple(release for text in releases if (release := Release.parse(text)) is not None)


def stand_in(releases: tuple[str, ...], release: Release) -> tuple[int, bool]:
    """The place of the release that stands for `release`, and whether nothing between them was left unread.

    The newest that is not newer; where that is of an earlier minor release and a later patch of the same
    minor release was read, that patch, for patches change little.
    """
    read = parsed(releases)
    index = max(0, sum(one <= release for one in read) - 1)
    if read[index] == release or index == len(read) - 1:
        return index, True
    minor = release.key[:2]
    if read[index].key[:2] != minor and read[index + 1].key[:2] == minor:
        return index + 1, True
    return index, read[index].key[:2] == minor
