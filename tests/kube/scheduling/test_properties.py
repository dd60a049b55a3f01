"""What holds for every pod and node: asking for less never hurts."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling_table import node, pod

from vllmlint.kube.scheduling.attempt import Attempt, first_reasons
from vllmlint.kube.scheduling.cluster import read_cluster
from vllmlint.kube.scheduling.read_pod import read_pod
from vllmlint.kube.scheduling.records import Verdict

KEYS, VALUES = st.sampled_from(["gpu", "zone", "n"]), st.sampled_from(["a", "b", "5", "10", ""])
EFFECTS = st.sampled_from(["NoSchedule", "NoExecute", "PreferNoSchedule"])
REQUIREMENTS = st.one_of(
    st.fixed_dictionaries(
        {
            "key": KEYS,
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(VALUES, min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries({"key": KEYS, "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
    st.fixed_dictionaries(
        {
            "key": KEYS,
            "operator": st.sampled_from(["Gt", "Lt"]),
            "values": st.lists(VALUES, min_size=1, max_size=1),
        }
    ),
)
TERMS = st.lists(
    st.fixed_dictionaries({"matchExpressions": st.lists(REQUIREMENTS, max_size=2)}), min_size=1, max_size=3
)
TOLERATIONS = st.lists(
    st.fixed_dictionaries(
        {"key": KEYS, "operator": st.sampled_from(["Exists", "Equal"])},
        optional={"value": VALUES, "effect": EFFECTS},
    ),
    max_size=2,
)
ASKS = st.fixed_dictionaries({}, optional={"cpu": st.integers(0, 70), "nvidia.com/gpu": st.integers(0, 9)})
SPREAD = st.fixed_dictionaries(
    {
        "maxSkew": st.integers(1, 2),
        "topologyKey": KEYS,
        "whenUnsatisfiable": st.just("DoNotSchedule"),
        "labelSelector": st.just({"matchLabels": {"app": "vllm"}}),
    }
)
PODS = st.fixed_dictionaries(
    {
        "name": st.just("server"),
        "labels": st.just({"app": "vllm"}),
        "nodeSelector": st.dictionaries(KEYS, VALUES, max_size=2),
        "tolerations": TOLERATIONS,
        "asks": ASKS,
        "topologySpreadConstraints": st.lists(SPREAD, max_size=1),
    },
    optional={
        "affinity": st.fixed_dictionaries(
            {
                "nodeAffinity": st.fixed_dictionaries(
                    {
                        "requiredDuringSchedulingIgnoredDuringExecution": st.fixed_dictionaries(
                            {"nodeSelectorTerms": TERMS}
                        )
                    }
                )
            }
        )
    },
)
TAINTS = st.lists(
    st.builds(lambda key, value, effect: f"{key}={value}:{effect}", KEYS, VALUES, EFFECTS), max_size=2
)
NODES = st.fixed_dictionaries(
    {"labels": st.dictionaries(KEYS, VALUES), "taints": TAINTS, "cordoned": st.booleans()},
    optional={
        "offers": st.fixed_dictionaries({"cpu": st.integers(1, 64), "nvidia.com/gpu": st.integers(0, 8)})
    },
)


def verdict_of(short_pod: dict[str, Any], short_node: dict[str, Any]) -> Verdict:
    """The verdict for a pod on the only node of a cluster."""
    cluster = read_cluster({"nodes": [node("n", short_node)], "pods": []})
    return Attempt(read_pod(pod(short_pod)), cluster).verdicts()[0]


def weaker(short_pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The pod with one thing it asks for taken away, in every way."""
    found = []
    for key in ("nodeSelector", "asks"):
        for name in short_pod[key]:
            one = deepcopy(short_pod)
            del one[key][name]
            found.append(one)
    if "affinity" in short_pod:
        found.append({key: value for key, value in short_pod.items() if key != "affinity"})
    found.append({**short_pod, "topologySpreadConstraints": []})
    return found


@given(PODS, NODES)
@settings(max_examples=150, deadline=None)
def test_asking_for_less_never_makes_a_pod_unplaceable(
    short_pod: dict[str, Any], short_node: dict[str, Any]
) -> None:
    if verdict_of(short_pod, short_node).answer == "yes":
        for one in weaker(short_pod):
            assert verdict_of(one, short_node).answer == "yes"


@given(PODS, NODES)
@settings(max_examples=150, deadline=None)
def test_a_taint_less_never_makes_a_pod_unplaceable(
    short_pod: dict[str, Any], short_node: dict[str, Any]
) -> None:
    before = verdict_of(short_pod, short_node)
    for index in range(len(short_node["taints"])):
        taints = [one for number, one in enumerate(short_node["taints"]) if number != index]
        after = verdict_of(short_pod, {**short_node, "taints": taints})
        assert before.answer != "yes" or after.answer == "yes"
        assert len(after.reasons) <= len(before.reasons)


@given(PODS, NODES)
@settings(max_examples=150, deadline=None)
def test_a_toleration_more_never_makes_a_pod_unplaceable(
    short_pod: dict[str, Any], short_node: dict[str, Any]
) -> None:
    if verdict_of(short_pod, short_node).answer == "yes":
        more = [*short_pod["tolerations"], {"operator": "Exists"}]
        assert verdict_of({**short_pod, "tolerations": more}, short_node).answer == "yes"


@given(PODS, NODES)
@settings(max_examples=100, deadline=None)
def test_no_has_a_first_reason_and_yes_has_none(
    short_pod: dict[str, Any], short_node: dict[str, Any]
) -> None:
    verdict = verdict_of(short_pod, short_node)
    assert (verdict.answer == "yes") == (not verdict.reasons)
    assert bool(first_reasons(verdict)) == (verdict.answer == "no")
