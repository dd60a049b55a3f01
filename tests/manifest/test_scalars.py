"""Plain scalars against what goyaml.v2 makes of them."""

from __future__ import annotations

import math
import re
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vllmlint.manifest.scalars import Plain, resolve_plain

WORDS: dict[str, Plain] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}

INTEGERS = {
    "0": 0,
    "-0": 0,
    "+0": 0,
    "00": 0,
    "7": 7,
    "+7": 7,
    "-7": -7,
    "8000": 8000,
    "1_000": 1000,
    "1__0_": 10,
    "-_1": -1,
    "010": 8,
    "-010": -8,
    "0o17": 15,
    "0O17": 15,
    "-0o7": -7,
    "0x1F": 31,
    "0X1f": 31,
    "-0x1f": -31,
    "+0x1F": 31,
    "0x_1F": 31,
    "0b101": 5,
    "0B101": 5,
    "-0b101": -5,
    "0b-101": -5,
    "0b+101": 5,
    "0_10": 8,
    "9223372036854775807": 2**63 - 1,
    "-9223372036854775808": -(2**63),
    "18446744073709551615": 2**64 - 1,
    "0xFFFFFFFFFFFFFFFF": 2**64 - 1,
    "01777777777777777777777": 2**64 - 1,
    "18446744073709551616": 2**64,
    "-9223372036854775809": -(2**63) - 1,
    "1" + "0" * 308: 10**308,
}

FLOATS = {
    "0.9": 0.9,
    "+0.9": 0.9,
    "-0.9": -0.9,
    ".5": 0.5,
    "-.5": -0.5,
    "1.": 1.0,
    "1e3": 1000.0,
    "1E+3": 1000.0,
    "1.5e-3": 0.0015,
    ".5e1": 5.0,
    ".5_0": 0.5,
    "1_0.5": 10.5,
    "08": 8.0,
    "-09": -9.0,
    "08.5": 8.5,
    # octal digits that do not fit are read as a decimal float
    "07777777777777777777777": 7777777777777777777777.0,
    "1e-999": 0.0,
}

STRINGS = [
    "vllm/vllm-openai:v0.9.1",
    "tRue",
    "yEs",
    "nULL",
    "nil",
    "<<",
    ".",
    "..",
    "-",
    "+",
    "--",
    "-a",
    "--tensor-parallel-size",
    "_1",
    "._5",
    ".5_",
    ".e5",
    ".5\xa0",
    ".٥",
    "٥",
    "1٥",
    "²",
    "+.nan",
    "-.nan",
    ".iNF",
    "inf",
    "-inf",
    "NaN",
    "0x",
    "0xg",
    "0o",
    "0o8",
    "0b",
    "0b2",
    "-0b-1",
    "0B-1",
    "0x1p4",
    "0x1.8p1",
    "1e",
    "1e999",
    ".5e999",
    "1e+",
    "1.2.3",
    "1Gi",
    "16Gi",
    "500m",
    "1:30",
    "190:20:30",
    "2001-12-14",
    "2001-12-14t21:59:43.10-05:00",
    "0x10000000000000000",
    "-0x8000000000000001",
    "0b1" + "0" * 64,
    "9" * 5000,
    "-" + "9" * 5000,
    "1 ",
    " 1",
    "1\n",
]


@pytest.mark.parametrize(("text", "value"), [*WORDS.items(), *INTEGERS.items(), *FLOATS.items()])
def test_value(text: str, value: Plain) -> None:
    resolved = resolve_plain(text)
    assert resolved == value
    assert type(resolved) is type(value)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number(text: str) -> None:
    resolved = resolve_plain(text)
    assert isinstance(resolved, float)
    assert math.isnan(resolved)


@pytest.mark.parametrize("text", STRINGS)
def test_string(text: str) -> None:
    assert resolve_plain(text) is text


@given(st.integers())
def test_decimal_integer(number: int) -> None:
    resolved = resolve_plain(str(number))
    assert resolved == number
    assert type(resolved) is int


@given(st.integers(-(2**63), 2**63 - 1))
def test_prefixed_integer(number: int) -> None:
    for spelling in (f"{number:#x}", f"{number:#o}", f"{number:#b}", f"{number:#X}"):
        assert resolve_plain(spelling) == number
    assert resolve_plain(f"{number:#o}".replace("o", "")) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float(number: float) -> None:
    resolved = resolve_plain(repr(number))
    assert isinstance(resolved, float)
    assert struct.pack("d", resolved) == struct.pack("d", number)


@given(
    st.text(alphabet=st.sampled_from("0123456789abxoeEXBO+-._ '\xa0٥"), max_size=12) | st.text(max_size=20)
)
@example("9" * 400)
@example("0" * 5000)
@example("1e" + "9" * 5000)
def test_a_string_keeps_its_text_and_the_rest_looks_like_what_it_is(text: str) -> None:
    resolved = resolve_plain(text)
    if isinstance(resolved, str):
        assert resolved is text
    elif isinstance(resolved, bool) or resolved is None:
        assert re.fullmatch(r"[A-Za-z~]*", text)
    elif text not in WORDS and text[1:] not in {"nan", "NaN", "NAN"}:
        assert re.fullmatch(r"[-+.0-9][-+._0-9a-fA-FxXoObB]*", text)
        assert math.isfinite(resolved)
