"""What PyTorch's caching allocator counts for a tensor: the block it lies in, not its own bytes.

vLLM logs `torch.cuda` allocated memory. A tensor of 10 MiB or more gets a segment of its own, a multiple of
2 MiB; what is left of it is cut off only where it is more than 1 MiB (`should_split` and
`get_allocation_size` of c10/cuda/CUDACachingAllocator.cpp), so a tensor of 125 MiB counts 126. Qwen3-32B at
tensor parallel size 2 is 64 MiB larger by that than the sum of its tensors.
"""

from __future__ import annotations

MIB = 1 << 20
#: kMinBlockSize, kSmallSize, kLargeBuffer, kMinLargeAlloc and kRoundLarge of the allocator.
_BLOCK, _SMALL, _SHARED_SEGMENT, _OWN_SEGMENT, _ROUND = 512, MIB, 20 * MIB, 10 * MIB, 2 * MIB


def allocated_bytes(size: float) -> float:
    """Bytes that one tensor of `size` bytes counts on the average of many like it."""
    if size <= 0:
        return 0.0
    block = float(-(-int(size) // _BLOCK) * _BLOCK)
    if block <= _SMALL:
        return block  # cut from shared segments of 2 MiB to the block
    if block < _OWN_SEGMENT:
        fitting = _SHARED_SEGMENT // block
        left = _SHARED_SEGMENT - fitting * block
        return block + (left / fitting if left <= _SMALL else 0)
    segment = float(-(-int(block) // _ROUND) * _ROUND)
    return segment if segment - block <= _SMALL else block
