"""Section parallelism: how tensor parallel ranks reach each other, and how pods fill their nodes."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._groups import spans_pods
from vllmlint.checks._hardware import cards_of, gpu_choice_place
from vllmlint.checks._rdma import has_rdma
from vllmlint.finding import Finding, Related
from vllmlint.serving.ranks import counted_gpus, ranks_of
from vllmlint.serving.server import Server
from vllmlint.wording import plural
from vllmlint.world import World

#: From this size on the all-reduce over PCIe takes more time than it saves (rules.md, tp-over-pcie).
_MANY_RANKS = 4
#: GPUs that one NVLink domain joins across nodes: GB200 and GB300 racks have 72.
_RACK = 8


def tp_over_pcie(server: Server, world: World) -> Iterator[Finding]:
    """Tensor parallel ranks on GPUs that have nothing but PCIe between them."""
    size, ranks = server.integer("tensor_parallel_size"), ranks_of(server)
    place = server.get("tensor_parallel_size").place
    if size is None or size < 2 or place is None or ranks is None or not counted_gpus(server):
        return
    cards = cards_of(server, world)
    if not cards or any(card.gpu.interconnect != "pcie" or card.gpu.slice_of for card in cards):
        return
    gpu = cards[0].gpu
    choice = gpu_choice_place(server, frozenset({gpu.id}))
    many = size >= _MANY_RANKS
    workaround = server.is_set("disable_custom_all_reduce") or "NCCL_P2P_DISABLE" in server.env
    hang = "" if workaround else ", and where IOMMU or ACS is on, NCCL hangs at start or at the first request"
    yield Finding(
        place,
        f"{size} tensor parallel ranks on {gpu.name} exchange every layer's results over PCIe, for the "
        "cards have no NVLink: "
        f"{'most of the time goes into that' if many else 'a part of the time goes into that'}{hang}",
        "Prefer one GPU with a quantized model, or `--pipeline-parallel-size` instead; where it hangs, "
        "`--disable-custom-all-reduce` and NCCL_P2P_DISABLE=1 help. `interconnect: nvlink` in the contract's "
        "pool says that bridges join the cards.",
        "over PCIe",
        severity=None if many else "info",
        confidence="medium" if all(card.sure for card in cards) else "low",
        assumptions=("no NVLink bridges join the cards",),
        related=(Related(choice, gpu.name),) if choice is not None else (),
    )


def tp_crosses_nodes(server: Server, world: World) -> Iterator[Finding]:
    """Tensor parallel ranks that do not fit into one pod of the group."""
    size = server.integer("tensor_parallel_size")
    place = server.get("tensor_parallel_size").place
    gpus = counted_gpus(server)
    count = sum(gpu.count or 0 for gpu in gpus)
    if size is None or place is None or count == 0 or size <= count or not spans_pods(server, world):
        return
    # the leader speaks for the ranks that follow it
    if server.is_headless or server.has_claims or has_rdma(server) or _in_one_rack(server, world):
        return
    pipeline = -(-size // count) * (server.integer("pipeline_parallel_size") or 1)
    yield Finding(
        place,
        f"{size} tensor parallel ranks on pods of {plural(count, 'GPU')}: each layer's results go over the "
        "pods' network several times a token, which is orders of magnitude slower than NVLink, and the pod "
        "asks for no RDMA card",
        f"Write in every pod `--tensor-parallel-size={count}` and `--pipeline-parallel-size={pipeline}`: "
        "stages exchange far less. With RDMA between the nodes, ask for its resource in the pods.",
        f"{plural(count, 'GPU')} a pod",
        confidence="medium",
        assumptions=("the pods of the group are on different nodes",),
        related=(Related(gpus[0].node.content, f"{plural(count, 'GPU')} in the pod"),),
    )


def _in_one_rack(server: Server, world: World) -> bool:
    """Whether NVLink may join the GPUs of several nodes."""
    return any((card.gpu.nvlink_domain_gpus or 0) > _RACK for card in cards_of(server, world))
