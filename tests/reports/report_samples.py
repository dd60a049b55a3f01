"""Runs written by hand, for the tests of the reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vllmlint.finding import Confidence, Edit, Finding, Fix, Related, Severity
from vllmlint.lint.result import LostInput, ObjectRef, Reported, RunResult, SkippedDocument, Spot
from vllmlint.manifest.text import Place, SourceText

SNAPSHOTS = Path(__file__).parent / "snapshots"

DEPLOYMENT = SourceText(
    "apps/deployment.yaml",
    """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: llama
spec:
  template:
    spec:
      nodeSelector:
        gpu: nvidia-l4
      containers:
        - name: vllm
          image: registry.example.com/ai/vllm:stable
          args: ["--tensor-parallel-size", "4", "--max-model-len", "131072"]
          resources:
            limits:
              nvidia.com/gpu: 2
""",
)
NODES = SourceText("nodes.yaml", "pools:\n  - name: l4 # 日本語\n\tgpus: 1\n")


def place(source: SourceText, text: str, nth: int = 1) -> Place:
    """The `nth` place at which `text` stands in a source."""
    at = -1
    for _ in range(nth):
        at = source.text.index(text, at + 1)
    return Place(source, at, at + len(text))


def reported(
    about: Place,
    message: str = "something is wrong",
    *,
    rule: str = "VL101",
    name: str = "image-tag-floating",
    severity: Severity = "error",
    confidence: Confidence = "high",
    label: str = "",
    advice: str = "",
    assumptions: tuple[str, ...] = (),
    related: Sequence[tuple[Place, str]] = (),
    fix: Fix | None = None,
    suppressed_by: str = "",
    environment: str | None = None,
) -> Reported:
    """A finding as the engine hands it over."""
    finding = Finding(
        about,
        message,
        help=advice,
        label=label,
        confidence=confidence,
        assumptions=assumptions,
        related=tuple(Related(where, text) for where, text in related),
        fix=fix,
    )
    return Reported(
        rule=rule,
        name=name,
        severity=severity,
        confidence=confidence,
        finding=finding,
        spot=Spot.of(about),
        document=0,
        path="spec.template.spec.containers[0].image",
        object=ObjectRef("apps/v1", "Deployment", "ai", "llama"),
        container="vllm",
        environment=environment,
        fingerprint="0f1e2d3c",
        url=f"https://vllmlint.dev/rules/{name}",
        related=tuple((Spot.of(where), text) for where, text in related),
        edits=tuple((Spot.of(edit.place), edit.text) for edit in fix.edits) if fix else (),
        suppressed_by=suppressed_by,
    )


def floating() -> Reported:
    """One place, with a label, help and a fix."""
    tag = place(DEPLOYMENT, "stable")
    return reported(
        tag,
        "tag 'stable' moves: pods of one Deployment can run different vLLM releases after a restart",
        label="this tag moves",
        advice="name a release, such as v0.33.0, or a digest",
        fix=Fix("write v0.33.0", (Edit(tag, "v0.33.0"),), safe=False),
    )


def too_few_gpus() -> Reported:
    """Several places, two on one line, one in another file, uncertain."""
    return reported(
        place(DEPLOYMENT, '"4"'),
        "4 GPUs are needed and 2 are requested: the server stops at start-up",
        rule="VL201",
        name="tensor-parallel-exceeds-gpus",
        confidence="medium",
        label="needs 4 GPUs",
        assumptions=("the image is the official one", "one server a pod"),
        related=[
            (place(DEPLOYMENT, "nvidia.com/gpu: 2"), "2 GPUs requested"),
            (place(DEPLOYMENT, "--tensor-parallel-size"), "the flag"),
            (place(DEPLOYMENT, "nvidia-l4"), "nodes of this kind"),
            (place(NODES, "l4"), "have 1 GPU"),
            (place(NODES, "1"), "here"),
        ],
    )


def block() -> Reported:
    """A place of several lines."""
    return reported(
        place(DEPLOYMENT, "nodeSelector:\n        gpu: nvidia-l4\n      containers:\n        - name: vllm\n"),
        "the pod states no tolerations",
        rule="VL210",
        name="tolerations-missing",
        severity="info",
        confidence="low",
        label="from here",
    )


def silenced() -> Reported:
    """A finding that an ignore hides."""
    return reported(
        place(DEPLOYMENT, "131072"),
        "a long context",
        severity="warning",
        rule="VL301",
        name="context-too-long",
        suppressed_by="comment on line 12: known",
    )


def full_run() -> RunResult:
    """A run with something of everything."""
    return RunResult(
        findings=[floating(), too_few_gpus(), block()],
        suppressed=[silenced()],
        lost_inputs=[
            LostInput(
                "apps/deployment.yaml", 11, "Deployment/llama", "vllm", "model", "memory is not judged"
            ),
            LostInput("apps/other.yaml", 3, "Deployment/other", None, "model", "memory is not judged"),
            LostInput("apps/other.yaml", 4, "", "vllm", "node pool", "placement is not judged"),
        ],
        skipped=[
            SkippedDocument("chart/templates/a.yaml", 0, 1, "Helm template"),
            SkippedDocument("README.yaml", 1, 7, "not a Kubernetes object"),
            SkippedDocument("huge.yaml", None, 1, "larger than 50 MB"),
        ],
        files=3,
        objects=4,
        servers=1,
    )


def check_snapshot(name: str, produced: str) -> None:
    """Compare with a stored text; `UPDATE_SNAPSHOTS=1` stores it anew."""
    stored = SNAPSHOTS / name
    if os.environ.get("UPDATE_SNAPSHOTS"):
        stored.write_text(produced, "utf-8")
    assert produced == stored.read_text("utf-8"), f"{name} differs; UPDATE_SNAPSHOTS=1 stores it anew"
