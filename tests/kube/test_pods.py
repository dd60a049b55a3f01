"""Pod templates in every carrier kind, and what their containers hold."""

from __future__ import annotations

import pytest
from kube_samples import container, workloads

from vllmlint.kube.pods import Workload

SPEC = "spec: {containers: [{name: main, image: i}]}"
TEMPLATE = f"template: {{metadata: {{labels: {{app: a}}}}, {SPEC}}}"


def summary(found: list[Workload]) -> list[tuple[str, str, str, list[str]]]:
    """Kind, carrier, role and container names of each workload."""
    return [(one.kind, one.carrier, one.role, [each.name for each in one.containers]) for one in found]


@pytest.mark.parametrize(
    ("version", "kind", "body"),
    [
        ("v1", "Pod", f"metadata: {{name: a, labels: {{app: a}}}}\n{SPEC}"),
        ("apps/v1", "Deployment", f"spec: {{{TEMPLATE}}}"),
        ("extensions/v1beta1", "Deployment", f"spec: {{{TEMPLATE}}}"),
        ("apps/v1", "StatefulSet", f"spec: {{{TEMPLATE}}}"),
        ("apps/v1", "DaemonSet", f"spec: {{{TEMPLATE}}}"),
        ("apps/v1", "ReplicaSet", f"spec: {{{TEMPLATE}}}"),
        ("v1", "ReplicationController", f"spec: {{{TEMPLATE}}}"),
        ("batch/v1", "Job", f"spec: {{{TEMPLATE}}}"),
        ("batch/v1", "CronJob", f"spec: {{jobTemplate: {{spec: {{{TEMPLATE}}}}}}}"),
    ],
)
def test_built_in_carriers(version: str, kind: str, body: str) -> None:
    (found,) = workloads(f"apiVersion: {version}\nkind: {kind}\n{body}\n")
    assert summary([found]) == [(kind, "plain", "", ["main"])]
    assert found.labels == {"app": "a"}
    assert found.is_batch is (kind in {"Job", "CronJob"})


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: apps/v1\nkind: Deployment\nspec: {}\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: null}\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: [1]}\n",
        f"apiVersion: v1\nkind: ConfigMap\ndata: {{{SPEC}}}\n",
        f"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {{x: {{{SPEC}}}}}\n",
        "apiVersion: x.io/v1\nkind: Thing\nspec: {containers: [{name: a}]}\n",
        "apiVersion: x.io/v1\nkind: Thing\nspec: {containers: [a, b]}\n",
    ],
)
def test_what_carries_no_pods(text: str) -> None:
    assert workloads(text) == []


LWS = """\
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: big}
spec:
  replicas: 2
  leaderWorkerTemplate:
    size: 4
    leaderTemplate:
      metadata: {labels: {role: leader}}
      spec: {containers: [{name: lead, image: i}]}
    workerTemplate:
      spec: {containers: [{name: work, image: i}]}
"""


def test_a_leader_worker_set_has_two_templates() -> None:
    found = workloads(LWS)
    assert summary(found) == [
        ("LeaderWorkerSet", "lws", "leader", ["lead"]),
        ("LeaderWorkerSet", "lws", "worker", ["work"]),
    ]
    assert [one.labels for one in found] == [{"role": "leader"}, {}]


def test_a_leader_worker_set_without_a_leader_template() -> None:
    text = LWS[: LWS.index("    leaderTemplate")] + LWS[LWS.index("    workerTemplate") :]
    assert summary(workloads(text)) == [("LeaderWorkerSet", "lws", "worker", ["work"])]


def test_a_ray_like_cluster() -> None:
    found = workloads(
        """\
        apiVersion: rays.example.com/v1
        kind: RayThing
        spec:
          serveConfig: "text"
          clusterConfig:
            headGroupSpec:
              template:
                metadata: {labels: {a: head}}
                spec: {containers: [{name: head, image: i}]}
            workerGroupSpecs:
              - groupName: big
                replicas: 2
                template: {spec: {containers: [{name: one, image: i}]}}
              - groupName: small
                template: {spec: {containers: [{name: two, image: i}], initContainers: [{name: init}]}}
        """
    )
    assert summary(found) == [
        ("RayThing", "other", "head", ["head"]),
        ("RayThing", "other", "big", ["one"]),
        ("RayThing", "other", "small", ["two", "init"]),
    ]
    assert found[0].labels == {"a": "head"}
    assert [one.replicas for one in found] == [None, None, None]


def test_a_storm_like_service_with_roles() -> None:
    found = workloads(
        """\
        apiVersion: orchestration.example.com/v1
        kind: StormThing
        metadata: {name: pd}
        spec:
          stateful: true
          template:
            spec:
              roles:
                - name: prefill
                  replicas: 1
                  template:
                    metadata: {labels: {role: prefill}}
                    spec:
                      containers:
                        - {name: p, command: [vllm, serve, m]}
                - name: decode
                  template:
                    spec:
                      containers:
                        - {name: d, image: i}
        """
    )
    assert summary(found) == [
        ("StormThing", "other", "prefill", ["p"]),
        ("StormThing", "other", "decode", ["d"]),
    ]
    assert found[0].labels == {"role": "prefill"}


def test_prefill_and_decode_by_key() -> None:
    found = workloads(
        """\
        apiVersion: llm.example.com/v1
        kind: Service
        spec:
          decodeSpec: {template: {spec: {containers: [{name: d, image: i}]}}}
          prefillSpec: {containers: [{name: p, image: i}]}
        """
    )
    assert {one.role: one.containers[0].name for one in found} == {"decode": "d", "prefill": "p"}


def test_a_template_that_an_alias_repeats_is_met_once() -> None:
    found = workloads(
        """\
        apiVersion: x.example.com/v1
        kind: Thing
        spec:
          a: &pod {spec: {containers: [{name: one, image: i}]}}
          b: *pod
        """
    )
    assert len(found) == 1


def test_a_group_of_its_own_makes_another_kind() -> None:
    (found,) = workloads(
        f"apiVersion: batch.volcano.sh/v1\nkind: Job\nspec: {{tasks: [{{name: t, {TEMPLATE}}}]}}\n"
    )
    assert (found.carrier, found.role, found.is_batch) == ("other", "t", False)


@pytest.mark.parametrize(
    ("version", "kind", "spec", "replicas"),
    [
        ("apps/v1", "Deployment", f"{{{TEMPLATE}}}", 1),
        ("apps/v1", "Deployment", f"{{replicas: 3, {TEMPLATE}}}", 3),
        ("apps/v1", "Deployment", f"{{replicas: 0, {TEMPLATE}}}", 0),
        ("apps/v1", "Deployment", f"{{replicas: null, {TEMPLATE}}}", 1),
        ("apps/v1", "Deployment", f"{{replicas: ${{N}}, {TEMPLATE}}}", None),
        ("apps/v1", "DaemonSet", f"{{{TEMPLATE}}}", None),
        ("batch/v1", "Job", f"{{parallelism: 4, {TEMPLATE}}}", 4),
        ("batch/v1", "CronJob", f"{{jobTemplate: {{spec: {{parallelism: 2, {TEMPLATE}}}}}}}", 2),
        ("v1", "Pod", "{containers: [{name: a, image: i}]}", 1),
    ],
)
def test_replicas(version: str, kind: str, spec: str, replicas: int | None) -> None:
    spec = spec.replace("${N}", "'${N}'")
    (found,) = workloads(f"apiVersion: {version}\nkind: {kind}\nspec: {spec}\n")
    assert found.replicas == replicas


def test_init_containers_and_native_sidecars() -> None:
    (found,) = workloads(
        """\
        apiVersion: v1
        kind: Pod
        spec:
          initContainers:
            - {name: fetch, image: i}
            - {name: proxy, image: i, restartPolicy: Always}
          containers:
            - {name: one, image: i}
            - {name: two, image: i, restartPolicy: Always}
        """
    )
    assert [(one.name, one.role, one.index) for one in found.containers] == [
        ("one", "main", 0),
        ("two", "main", 1),
        ("fetch", "init", 0),
        ("proxy", "sidecar", 1),
    ]


@pytest.mark.parametrize(
    ("fields", "command", "args"),
    [
        ("command: [a, b]\nargs: [c, 1, true]", ("a", "b"), ("c", "1", "true")),
        ("args: [c]", None, ("c",)),
        ("command: []", (), None),
        ("command: text", ("text",), None),
        ("command: null", None, None),
        ("args:", None, None),
        ("args: [a, {b: c}, d]", None, ("a", "d")),
    ],
)
def test_words(fields: str, command: tuple[str, ...] | None, args: tuple[str, ...] | None) -> None:
    found = container(fields)
    words = [None if one is None else tuple(word.text for word in one) for one in (found.command, found.args)]
    assert words == [command, args]


def test_resources() -> None:
    found = container(
        """\
        resources:
          requests: {cpu: 500m, nvidia.com/gpu: 1}
          limits: {memory: 2Gi, nvidia.com/gpu: "1", odd: [1], wrong: much}
        """
    )
    assert found.amount("requests", "cpu") == 0.5
    assert found.amount("limits", "memory") == 2**31
    assert found.amount("limits", "wrong") is None
    assert found.amount("limits", "cpu") is None
    assert set(found.resources("limits")) == {"memory", "nvidia.com/gpu", "wrong"}
    node = found.resource("limits", "nvidia.com/gpu")
    assert node is not None
    assert node.content.text == "1"
    assert container("resources: {}").resources("limits") == {}


def test_ports() -> None:
    found = container("ports: [{containerPort: 8000, name: http}, {containerPort: 8001}, {containerPort: x}]")
    assert found.ports == {8000: "http", 8001: ""}


VOLUMES = """\
volumes:
  - {name: shm, emptyDir: {medium: Memory, sizeLimit: 1Gi}}
  - {name: models, persistentVolumeClaim: {claimName: llama}}
  - {emptyDir: {}, name: tmp}
  - {name: bare}
  - {name: nothing, emptyDir: null}
"""


def test_volumes() -> None:
    found = container("args: []", VOLUMES).workload.volumes
    assert {name: (one.kind, one.claim_name, one.medium) for name, one in found.items()} == {
        "shm": ("emptyDir", None, "Memory"),
        "models": ("persistentVolumeClaim", "llama", ""),
        "tmp": ("emptyDir", None, ""),
        "bare": ("emptyDir", None, ""),
        "nothing": ("emptyDir", None, ""),
    }


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/models", "models"),
        ("/models/", "models"),
        ("/models/a/b", "models"),
        ("/models/cache", "tmp"),
        ("/models/cache/x", "tmp"),
        ("/models/cached", "models"),
        ("/modelsx", None),
        ("/other", "gone"),
        ("/", None),
        ("/etc", None),
    ],
)
def test_the_longest_mount_that_holds_a_path(path: str, mount: str | None) -> None:
    found = container(
        """\
        volumeMounts:
          - {name: bare, mountPath: /}
          - {name: models, mountPath: /models, readOnly: true}
          - {name: tmp, mountPath: /models/cache/}
          - {name: gone, mountPath: /other}
        """,
        VOLUMES,
    )
    one = found.mount_of(path)
    assert (one.name if one is not None else None) == mount
    if mount == "gone":
        assert one is not None
        assert one.volume is None
    if mount == "models":
        assert one is not None
        assert one.read_only


def test_volume_claim_templates_count_as_volumes() -> None:
    (found,) = workloads(
        f"""\
        apiVersion: apps/v1
        kind: StatefulSet
        spec:
          {TEMPLATE}
          volumeClaimTemplates:
            - metadata: {{name: data}}
              spec: {{accessModes: [ReadWriteOnce]}}
        """
    )
    assert {name: one.kind for name, one in found.volumes.items()} == {"data": "volumeClaimTemplate"}


@pytest.mark.parametrize(
    ("probe", "facts", "budget"),
    [
        ("httpGet: {port: 8000}", ("httpGet", "8000", "/", "HTTP"), 30),
        ("httpGet: {port: http, path: /health, scheme: https}", ("httpGet", "http", "/health", "HTTPS"), 30),
        (
            "tcpSocket: {port: 8000}\nperiodSeconds: 5\nfailureThreshold: 12",
            ("tcpSocket", "8000", "/", "HTTP"),
            60,
        ),
        ("grpc: {port: 9000}\ninitialDelaySeconds: 15", ("grpc", "9000", "/", "HTTP"), 45),
        ("exec: {command: [cat, /x]}", ("exec", None, "/", "HTTP"), 30),
        ("periodSeconds: 0\nfailureThreshold: 0", ("", None, "/", "HTTP"), 30),
        ("periodSeconds: ${P}\nhttpGet: {port: 1}", ("httpGet", "1", "/", "HTTP"), 30),
    ],
)
def test_probes(probe: str, facts: tuple[str, str | None, str, str], budget: int) -> None:
    indented = "".join(f"  {line}\n" for line in probe.split("\n"))
    found = container(f"startupProbe:\n{indented}").probes
    assert set(found) == {"startupProbe"}
    one = found["startupProbe"]
    port = one.port.text if one.port is not None else None
    assert (one.type, port, one.path, one.scheme) == facts
    assert one.budget_seconds == budget
    assert one.timeout_seconds == 1
    assert one.key.place.text == "startupProbe"


def test_probe_details() -> None:
    found = container(
        """\
        readinessProbe:
          httpGet: {port: 1, httpHeaders: [{name: Authorization, value: x}, {name: Host}]}
        livenessProbe: {exec: {command: [sh, -c, "true"]}, timeoutSeconds: 7}
        startupProbe: null
        """
    ).probes
    assert set(found) == {"readinessProbe", "livenessProbe"}
    assert found["readinessProbe"].headers == {"authorization", "host"}
    assert found["livenessProbe"].command == ("sh", "-c", "true")
    assert found["livenessProbe"].timeout_seconds == 7
