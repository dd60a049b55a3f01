"""What vLLM's own CUDA builds hold: CUDA versions by release, compute capabilities, lowest drivers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _file() -> dict[str, list[dict[str, Any]]]:
    loaded: dict[str, list[dict[str, Any]]] = json.loads(
        Path(__file__).with_name("cuda_builds.json").read_text("utf-8")
    )
    return loaded


def image_rows() -> list[dict[str, Any]]:
    """`{release, cuda}`: the CUDA version of the default image from a release on, the newest first."""
    return _file()["images"]


def kernel_rows() -> list[dict[str, Any]]:
    """`{release, cuda, lowest, highest}`: capabilities with kernels; the first row that matches counts."""
    return _file()["kernels"]


def lowest_driver(cuda_major: int) -> str | None:
    """The oldest driver that runs programs of a CUDA major version; None where it is not in the table."""
    return next((row["driver"] for row in _file()["drivers"] if row["cuda"] == cuda_major), None)
