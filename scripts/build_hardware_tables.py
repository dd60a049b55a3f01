"""Build the hardware tables in `vllmlint/facts/` from the research tables.

    python scripts/build_hardware_tables.py SOURCES [OUTPUT_FOLDER]

SOURCES holds `gpus.json`, `labels.json`, `instances.json` and `taints.json` of the research. The tables that
ship are compact: one row a line, nothing that is unset, one short source a row. The same input gives the
same bytes.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

from node_tables import Row, filled, instance_table, label_table, short_source, taint_table

#: The driver's names that are not the product label with spaces for dashes (nvidia-smi, NVML device name).
_DEVICE_NAMES = {
    "nvidia-p100-16gb": "Tesla P100-PCIE-16GB",
    "nvidia-v100-16gb-sxm2": "Tesla V100-SXM2-16GB",
    "nvidia-v100-16gb-pcie": "Tesla V100-PCIE-16GB",
    "nvidia-v100-32gb-sxm2": "Tesla V100-SXM2-32GB",
    "nvidia-v100-32gb-pcie": "Tesla V100-PCIE-32GB",
    "nvidia-a100-40gb-pcie": "NVIDIA A100-PCIE-40GB",
    "nvidia-a100-40gb-sxm": "NVIDIA A100-SXM4-40GB",
    "nvidia-a100-80gb-sxm": "NVIDIA A100-SXM4-80GB",
    "nvidia-h20-141gb": "NVIDIA H20-3e",
}
#: Streaming multiprocessors of whole cards: NVIDIA's architecture white papers and data sheets.
_SM_COUNTS = {
    "nvidia-t4": 40,
    "nvidia-v100-16gb-sxm2": 80,
    "nvidia-v100-16gb-pcie": 80,
    "nvidia-v100-32gb-sxm2": 80,
    "nvidia-v100-32gb-pcie": 80,
    "nvidia-a10": 72,
    "nvidia-a10g": 80,
    "nvidia-a30": 56,
    "nvidia-a40": 84,
    "nvidia-a100-40gb-pcie": 108,
    "nvidia-a100-40gb-sxm": 108,
    "nvidia-a100-80gb-pcie": 108,
    "nvidia-a100-80gb-sxm": 108,
    "nvidia-l4": 58,
    "nvidia-l40": 142,
    "nvidia-l40s": 142,
    "nvidia-h100-80gb-sxm": 132,
    "nvidia-h100-80gb-pcie": 114,
    "nvidia-h100-94gb-nvl": 132,
    "nvidia-h200-141gb-sxm": 132,
    "nvidia-h200-141gb-nvl": 132,
    "nvidia-h20": 78,
    "nvidia-b200": 148,
    "nvidia-rtx-3090": 82,
    "nvidia-rtx-4090": 128,
    "nvidia-rtx-5090": 170,
    "nvidia-rtx-a6000": 84,
    "nvidia-rtx-6000-ada": 142,
    "nvidia-rtx-pro-6000-server": 188,
    "nvidia-rtx-pro-6000-workstation": 188,
}
#: Cards without a reading of their own that carry the memory of another: the same chips and size.
_MEMORY_LIKE = {
    "nvidia-t4g": "nvidia-t4",
    "nvidia-v100-16gb-pcie": "nvidia-v100-16gb-sxm2",
    "nvidia-h800-80gb": "nvidia-h100-80gb-sxm",
    "amd-mi250": "amd-mi210",  # one of its two dies, which is what the runtime sees as a GPU
    "amd-mi250x": "amd-mi210",
    "amd-mi350x": "amd-mi355x",
}
#: Unified memory of a system, as `free` shows it: no driver reading exists.
_VISIBLE_GIB = {"nvidia-gb10": 119.7}
#: What a name says in brackets: a second name or a remark.
_ASIDE = re.compile(r"\s*\(.*\)")


def main() -> None:
    """Write the tables."""
    sources = Path(sys.argv[1])
    output = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent.parent / "vllmlint" / "facts"
    gpus = gpu_table(read(sources / "gpus.json"))
    write(output / "gpus.json", gpus)
    products = {product for row in gpus["gpus"] for product in row.get("products", ())}
    write(output / "node_labels.json", label_table(read(sources / "labels.json"), products))
    write(output / "instance_types.json", instance_table(read(sources / "instances.json")))
    write(output / "node_taints.json", taint_table(read(sources / "taints.json")))


def read(path: Path) -> Any:
    """A research table."""
    return json.loads(path.read_text("utf-8"))


def write(path: Path, table: Row) -> None:
    """A table as JSON: what is not a list on a line of its own, every row of a list on one line."""
    lines = []
    for key, value in table.items():
        if isinstance(value, list):
            rows = ",\n".join(f"    {_compact(row)}" for row in value)
            lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {_compact(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def gpu_table(research: Row) -> Row:
    """The GPUs and what MIG cuts them into."""
    rows = research["gpus"]
    reserve = _driver_reserve_gib(rows)
    by_id = {row["id"]: row for row in rows}
    return {
        "date": research["date"],
        "about": (
            "`memory_gib`: the total that CUDA (or HIP) reports to torch. `memory`: `measured` (read), "
            "`derived` (from `driver_memory_mib` less `driver_reserve_gib`, the median difference of the "
            "NVIDIA cards with both readings; other vendors' runtimes report the driver's figure; or from a "
            "card with the same memory, see `memory_like`). `formats`: what the tensor cores compute in. "
            "`interconnect_gb_s`: one GPU's links, both directions. A geometry's `memory_gib`: a slice's, "
            "where it was read."
        ),
        "driver_reserve_gib": reserve,
        "gpus": [_gpu_row(row, by_id, reserve) for row in rows],
        "mig_geometries": [_geometry_row(row) for row in research["mig_geometries"]],
    }


def _driver_reserve_gib(rows: list[Row]) -> float:
    """What the driver keeps before CUDA reports the total: the median over cards with both readings."""
    differences = [
        row["driver_memory_mib"] / 1024 - row["torch_total_gib"]
        for row in rows
        if row["vendor"] == "nvidia" and row["driver_memory_mib"] and row["torch_total_gib"]
    ]
    reserve: float = round(statistics.median(differences), 2)
    return reserve


def _gpu_row(row: Row, by_id: dict[str, Row], reserve: float) -> Row:
    like = _MEMORY_LIKE.get(row["id"])
    memory, certainty = _memory(row, reserve)
    if memory is None and like is not None:
        memory, certainty = _memory(by_id[like], reserve)[0], "derived"
    links = row["interconnect"] or {}
    support = row["support"]
    products = list(row["gfd_product"])
    return filled(
        {
            "id": row["id"],
            "name": row["name"],
            "vendor": row["vendor"],
            "device_name": _device_name(row),
            "products": products,
            "aliases": [_ASIDE.sub("", alias) for alias in row["aliases"]],
            "form_factor": row["form_factor"],
            "memory_gib": memory,
            "memory": certainty,
            "memory_like": like if row["driver_memory_mib"] is None and memory is not None else None,
            "driver_memory_mib": row["driver_memory_mib"],
            "box_memory_gb": row["marketing_memory_gb"],
            "unified": row["unified_memory"] or None,
            "compute_capability": row["compute_capability"],
            "architecture": row["gfx_arch"] or row["gfd_family"],
            "sm_count": _SM_COUNTS.get(row["id"]),
            "bandwidth_gb_s": row["memory_bandwidth_gb_s"],
            "interconnect": links.get("kind"),
            "interconnect_gb_s": links.get("per_gpu_bidirectional_gb_s"),
            "nvlink_domain_gpus": links.get("nvlink_domain_gpus"),
            "formats": {
                name: support[key]
                for name, key in (("bf16", "bf16"), ("fp8", "fp8_native"), ("fp4", "fp4_native"))
                if support[key] is not None
            },
            "host_arch": "arm64" if "arm64" in (row["note"] or "") else None,
            "mig": row["mig_geometry"],
            "source": _gpu_source(row),
        }
    )


def _memory(row: Row, reserve: float) -> tuple[float | None, str | None]:
    if row["torch_total_gib"]:
        return row["torch_total_gib"], "measured"
    if row["id"] in _VISIBLE_GIB:
        return _VISIBLE_GIB[row["id"]], "derived"
    if row["driver_memory_mib"] is None:
        return None, None
    kept = reserve if row["vendor"] == "nvidia" else 0.0
    return round(row["driver_memory_mib"] / 1024 - kept, 2), "derived"


def _device_name(row: Row) -> str:
    if row["id"] in _DEVICE_NAMES:
        return _DEVICE_NAMES[row["id"]]
    products = row["gfd_product"]
    name = str(products[0]).replace("-", " ") if products else str(row["name"])
    return name if products else _ASIDE.sub("", name)


def _gpu_source(row: Row) -> str:
    texts = [row["torch_total_source"], row["driver_memory_source"], row["memory_bandwidth_source"]]
    return short_source(texts) or short_source(row["source"][:1])


def _geometry_row(row: Row) -> Row:
    return {
        "id": row["id"],
        "slices": row["compute_slices_total"],
        "profiles": [
            filled(
                {
                    "profile": profile["profile"],
                    "compute_slices": profile["compute_slices"],
                    "max_instances": profile["max_instances"],
                    "memory_gib": _slice_memory(profile),
                    "sm_count": profile["sm_count"],
                }
            )
            for profile in row["profiles"]
        ],
        "source": short_source([profile["source"] for profile in row["profiles"]] + row["source"][:1]),
    }


def _slice_memory(profile: Row) -> float | None:
    """GiB of one slice: the exact MiB where they were read, else the figure `nvidia-smi mig -lgip` prints."""
    mib: int | None = profile["memory_mib"]
    printed: float | None = profile.get("memory_gib_lgip")
    return printed if mib is None else round(mib / 1024, 3)


if __name__ == "__main__":
    main()
