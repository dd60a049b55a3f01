"""Layers of pipeline stages, as `get_pp_indices` of each release gives them out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.engine.stages import stage_layers
from vllmlint.serving.release import Release


def sizes(layers: int, stages: int, version: str, partition: str | None = None) -> list[int]:
    """How many layers each stage has."""
    release = Release.parse(version)
    assert release is not None
    return [len(owned) for owned in stage_layers(layers, stages, release, partition)]


@pytest.mark.parametrize(
    ("layers", "stages", "version", "expected"),
    [
        (32, 4, "0.33.0", [8, 8, 8, 8]),
        (61, 4, "0.33.0", [15, 15, 16, 15]),
        (62, 4, "0.8.0", [15, 16, 16, 15]),
        (63, 4, "0.8.0", [16, 16, 16, 15]),
        # before, the last stage took what was left
        (61, 4, "0.7.3", [15, 15, 15, 16]),
        (63, 4, "0.6.3", [15, 15, 15, 18]),
    ],
)
def test_layers_that_do_not_divide(layers: int, stages: int, version: str, expected: list[int]) -> None:
    assert sizes(layers, stages, version) == expected


def test_a_partition_by_hand() -> None:
    assert sizes(32, 3, "0.33.0", "10,11,11") == [10, 11, 11]
    for wrong in ("10,22", "10,11,12", "ten,11,11"):
        with pytest.raises(ValueError):
            sizes(32, 3, "0.33.0", wrong)


@given(st.integers(1, 200), st.integers(1, 16), st.sampled_from(["0.6.6", "0.33.0"]))
def test_every_layer_once(layers: int, stages: int, version: str) -> None:
    release = Release.parse(version)
    assert release is not None
    owned = stage_layers(layers, stages, release)
    assert [layer for part in owned for layer in part] == list(range(layers))
