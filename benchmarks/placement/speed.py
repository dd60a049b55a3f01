"""500 servers against 5,000 nodes: time and memory of placement, from node profiles in memory.

    python benchmarks/placement/speed.py [SERVERS [NODES [POOLS]]]

The nodes are of 100 pools (GPU model, zone, taints), each with its own host name and machine id; the servers
ask for different GPUs, counts, zones, tolerations and spreading. The file of nodes is written and read as
`--nodes` reads it; placement is then measured alone. Prints seconds and the growth of resident memory.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from vllmlint.hardware.real_cluster import RealNodes
from vllmlint.lint.run import RunOptions, Shard
from vllmlint.plans.place_data import place_world
from vllmlint.sources.files import Input
from vllmlint.sources.nodes import read_node_files

_PRODUCTS = (
    "NVIDIA-A100-SXM4-80GB",
    "NVIDIA-H100-80GB-HBM3",
    "NVIDIA-L4",
    "NVIDIA-L40S",
    "Tesla-T4",
)
_ZONES = ("a", "b", "c", "d")


def node(number: int, pools: int) -> dict[str, Any]:
    """A node of one of the pools."""
    pool = number % pools
    name = f"node-{number:05d}"
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "example.com/machine-id": f"{number:032x}",
        "example.com/pool": f"pool-{pool}",
        "topology.kubernetes.io/zone": _ZONES[pool % len(_ZONES)],
        "nvidia.com/gpu.product": _PRODUCTS[pool % len(_PRODUCTS)],
        "nvidia.com/gpu.count": "8",
    }
    taints = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}] if pool % 3 else []
    offers = {"cpu": "95", "memory": "1000Gi", "ephemeral-storage": "900Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"providerID": f"example:///{name}", "taints": taints},
        "status": {"allocatable": {**offers, "nvidia.com/gpu": str(1 << (pool % 4))}},
    }


def server(number: int) -> dict[str, Any]:
    """A Deployment of a server; no two in a row ask for the same."""
    labels = {"app": f"server-{number}"}
    spec: dict[str, Any] = {
        "nodeSelector": {"nvidia.com/gpu.product": _PRODUCTS[number % len(_PRODUCTS)]},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}] if number % 2 else [],
        "containers": [
            {
                "name": "vllm",
                "image": "vllm/vllm-openai:v0.11.0",
                "args": ["--model", "Qwen/Qwen3-8B"],
                "resources": {"limits": {"nvidia.com/gpu": 1 << (number % 4), "memory": "64Gi", "cpu": 8}},
            }
        ],
    }
    if number % 5 == 0:
        terms = [
            {
                "matchExpressions": [
                    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]}
                ]
            }
        ]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec["affinity"] = {"nodeAffinity": required}
    if number % 7 == 0:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": labels},
            }
        ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"server-{number}"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def resident_mib() -> float:
    """The process's peak of resident memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure; see the module."""
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    nodes = int(sys.argv[2]) if len(sys.argv) > 2 else 5_000
    pools = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    with tempfile.TemporaryDirectory() as directory:
        nodes_file = Path(directory) / "nodes.json"
        items = [node(number, pools) for number in range(nodes)]
        nodes_file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), "utf-8")
        del items
        text = "\n---\n".join(json.dumps(server(number)) for number in range(servers))
        inputs = [Input("servers.yaml", text.encode())]
        start = time.perf_counter()
        file = read_node_files([str(nodes_file)])
        real = RealNodes(file, "nodes.json")
        print(f"nodes file: {time.perf_counter() - start:.2f} s, {len(real.profiles)} kinds of nodes")
    shard = Shard(RunOptions(inputs), inputs)
    shard.world.nodes = real
    shard.world.build_servers()
    before = resident_mib()
    start = time.perf_counter()
    plan = place_world(shard.world)
    seconds = time.perf_counter() - start
    verdicts = [pool["fits"] for one in plan["servers"] for pool in one["pools"]]
    print(f"{len(plan['servers'])} servers, {nodes} nodes, {len(verdicts)} verdicts: {seconds:.2f} s")
    print(f"yes {verdicts.count('yes')}, no {verdicts.count('no')}, unknown {verdicts.count('unknown')}")
    print(f"peak memory {resident_mib():.0f} MiB, {resident_mib() - before:.0f} MiB of it for placement")


if __name__ == "__main__":
    main()
