"""Quantities against what apimachinery's `resource.Quantity` makes of them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.kube.quantity import parse_quantity

LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1", 1),
        ("+1", 1),
        ("-1", -1),
        ("007", 7),
        ("1.", 1),
        (".5", 0.5),
        ("0.5", 0.5),
        ("1.50", 1.5),
        ("100m", 0.1),
        ("250m", 0.25),
        ("1500m", 1.5),
        ("2000m", 2),
        ("0.5m", 0.0005),
        ("-500m", -0.5),
        ("1u", 1e-6),
        ("3000000u", 3),
        ("1n", 1e-9),
        ("1k", 1000),
        ("1.5k", 1500),
        ("1M", 10**6),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1Ki", 1024),
        ("64Mi", 64 * 2**20),
        ("16Gi", 16 * 2**30),
        ("1.5Gi", 3 * 2**29),
        ("0.1Ti", 0.1 * 2**40),
        ("1Ti", 2**40),
        ("1Pi", 2**50),
        ("1Ei", 2**60),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1.5e3", 1500),
        ("1e+3", 1000),
        ("1e-3", 0.001),
        ("12e6", 12 * 10**6),
    ],
)
def test_quantities(text: str, value: float) -> None:
    found = parse_quantity(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", " 1", "1 ", "1\n", "1 Gi", "1gi", "1KI", "1ki", "1K", "1mi", "1GiB", "1GB", "1i", "Gi"),
        *(".", "+", "-", "1.2.3", "1e", "1e1.5", "1e3Gi", "0x10", "1_000", "1,5", "nan", "inf", "true"),
        *("١", "½", "${CPU}"),
    ],
)
def test_what_is_no_quantity(text: str) -> None:
    assert parse_quantity(text) is None


@pytest.mark.parametrize("text", ["9223372036854775807", "10E", "8Ei", "1e19", "1e400", "9" * 60, "9" * 6000])
def test_more_than_64_bits_are_cut(text: str) -> None:
    assert parse_quantity(text) == LARGEST
    assert parse_quantity("-" + text) == -LARGEST


def test_a_long_mantissa_with_a_small_suffix() -> None:
    assert parse_quantity("9" * 400 + "n") == LARGEST
    assert parse_quantity("1" + "0" * 20 + "n") == 10**11


@given(st.integers(0, 2**53), st.sampled_from(["", "k", "M", "Ki", "Mi"]))
def test_whole_numbers_are_exact(number: int, suffix: str) -> None:
    factor = {"": 1, "k": 1000, "M": 10**6, "Ki": 1024, "Mi": 2**20}[suffix]
    assert parse_quantity(f"{number}{suffix}") == min(number * factor, LARGEST)


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", "m", "Gi"]))
def test_decimals_are_near(number: Decimal, suffix: str) -> None:
    factor = {"": Decimal(1), "m": Decimal("0.001"), "Gi": Decimal(2**30)}[suffix]
    found = parse_quantity(f"{number:f}{suffix}")
    assert found == pytest.approx(float(number * factor), rel=1e-12)


@given(st.text("0123456789+-.eEnumkKMGTPi", max_size=12))
def test_any_text_is_answered(text: str) -> None:
    found = parse_quantity(text)
    assert found is None or -LARGEST <= found <= LARGEST
