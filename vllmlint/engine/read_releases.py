"""Which of the releases that a table was read from stands for another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from vllmlint.serving.release import Release


@cache
def parsed(releases: Sequence[str]) -> tuple[Release, ...]:
    """Releases from their texts, oldest first."""
    return tuple(release for text in releases if (release := Release.parse(text)) is not None)


def neighbours(releases: tuple[str, ...], release: Release) -> tuple[int, int]:
    """The places of the nearest releases that were read, the older and the newer one; twice the same where
    `release` itself was read, or is newer than all."""
    read = parsed(releases)
    older = max(0, sum(one <= release for one in read) - 1)
    exact = read[older] == release or older == len(read) - 1
    return older, older if exact else older + 1


def stand_in(releases: tuple[str, ...], release: Release) -> int:
    """The place of the release that stands for `release`: the newest that is not newer, or, where that is of
    an earlier minor release and a later patch of the same was read, that patch."""
    older, newer = neighbours(releases, release)
    read = parsed(releases)
    minor = release.key[:2]
    return newer if read[older].key[:2] != minor and read[newer].key[:2] == minor else older
