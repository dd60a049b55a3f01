"""Releases: tags, order, nearest tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.serving.release import Release, known_releases, nearest_table, table_index


def release(tag: str) -> Release:
    found = Release.parse(tag)
    assert found is not None, tag
    return found


@pytest.mark.parametrize(
    ("tag", "text", "suffix"),
    [
        ("v0.10.2", "0.10.2", ""),
        ("0.10.2", "0.10.2", ""),
        ("0.8.5.post1", "0.8.5.post1", ""),
        ("v0.9.0.1", "0.9.0.1", ""),
        ("0.11.1rc3", "0.11.1rc3", ""),
        ("v0.11.0-cu129", "0.11.0", "cu129"),
        ("v0.11.0-x86_64", "0.11.0", "x86_64"),
        ("v0.11.1rc3-cu129", "0.11.1rc3", "cu129"),
        ("0.10.1+gptoss", "0.10.1", "gptoss"),
        ("v0.7.3.self.post1", "0.7.3", "self.post1"),
        ("v0.10.2.cuda12", "0.10.2", "cuda12"),
        ("0.12", "0.12", ""),
        (" v0.9.2 ", "0.9.2", ""),
        ("0.9.2.dev12", "0.9.2.dev12", ""),
    ],
)
def test_tags_are_read(tag: str, text: str, suffix: str) -> None:
    found = release(tag)
    assert (str(found), found.suffix) == (text, suffix)


@pytest.mark.parametrize(
    "tag",
    ["latest", "nightly", "nightly-0123abc", "main", "", "v1", "cu129", "0.x.1", "0.10.2.", "0.1.2.3.4"],
)
def test_tags_without_a_release(tag: str) -> None:
    assert Release.parse(tag) is None


def test_order_is_that_of_python_versions() -> None:
    tags = [
        "0.6.3.post1",
        "0.8.5",
        "0.8.5.post1",
        "0.9.0",
        "0.9.0.1",
        "0.10.0.dev1",
        "0.10.0rc1",
        "0.10.0rc2",
    ]
    tags += ["0.10.0", "0.10.1", "0.10.1.1", "0.10.2", "0.33.0"]
    releases = [release(tag) for tag in tags]
    assert sorted(set(releases)) == releases
    assert len(set(releases)) == len(releases)


def test_equal_spellings() -> None:
    assert release("v0.12.0-cu129") == release("0.12") == release("0.12.0.0")
    assert release("0.11.1rc3").prerelease
    assert not release("0.11.1").prerelease
    assert release("0.9.2").at_least("0.9.0")
    assert not release("0.9.0rc1").at_least("0.9.0")


def test_at_least_wants_a_version() -> None:
    with pytest.raises(ValueError, match="not a vLLM version"):
        release("0.9.2").at_least("newest")


def test_known_releases_are_in_order() -> None:
    known = known_releases()
    assert list(known) == sorted(known)
    assert {str(known[0]), str(known[-1])} == {"0.6.3.post1", "0.33.0"}


@pytest.mark.parametrize(
    ("tag", "table", "exact"),
    [
        ("0.10.2", "0.10.2", True),
        ("v0.10.2-cu129", "0.10.2", True),
        ("0.15.0", "0.14.1", False),
        ("0.11.1rc3", "0.11.0", False),
        ("0.34.0", "0.33.0", False),
        ("1.0.0", "0.33.0", False),
        ("0.5.4", "0.6.3.post1", False),
    ],
)
def test_nearest_table(tag: str, table: str, exact: bool) -> None:
    found, same = nearest_table(release(tag))
    assert (str(found), same) == (table, exact)
    assert str(known_releases()[table_index(release(tag))]) == table


numbers = st.tuples(*(st.integers(0, 40) for _ in range(3)))


@given(numbers, numbers, st.sampled_from(["", "-cu129", "-x86_64", "+cpu"]))
def test_numbers_decide_the_order(left: tuple[int, ...], right: tuple[int, ...], suffix: str) -> None:
    one, other = (release("v" + ".".join(map(str, each)) + suffix) for each in (left, right))
    assert (one < other) == (left < right)
    assert (one == other) == (left == right)
