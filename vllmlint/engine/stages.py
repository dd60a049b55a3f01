"""Which decoder layers a pipeline stage owns (vllm-memory.md 1.1; vLLM `distributed/utils.py`)."""

from __future__ import annotations

from vllmlint.serving.release import Release

#: Where layers are given to pipeline stages by hand.
LAYER_PARTITION = "VLLM_PP_LAYER_PARTITION"
#: Up to 0.7.3 the last stage takes all layers that are left over (`get_pp_indices` of 0.6.3 to 0.7.3).
_SPREAD_SINCE = "0.8.0"


def stage_layers(
    num_layers: int, num_stages: int, release: Release, partition: str | None = None
) -> list[range]:
    """The layers of every stage, in order. `partition` is VLLM_PP_LAYER_PARTITION (`"10,11,11"`).

    Raises ValueError where the partition does not match the stages and layers, as vLLM does.
    """
    if partition:
        counts = [int(part) for part in partition.split(",")]
        if len(counts) != num_stages or sum(counts) != num_layers:
            raise ValueError(
                f"VLLM_PP_LAYER_PARTITION={partition} does not fit {num_stages} stages, {num_layers} layers"
            )
    else:
        counts = [num_layers // num_stages] * num_stages
        remaining = num_layers % num_stages
        if not release.at_least(_SPREAD_SINCE):
            counts[-1] += remaining
            remaining = 0
        # What remains goes one each to the stages before the last, from the back.
        for at in range(2, remaining + 2):
            counts[-at] += 1
    ranges: list[range] = []
    start = 0
    for count in counts:
        ranges.append(range(start, start + count))
        start += count
    return ranges
