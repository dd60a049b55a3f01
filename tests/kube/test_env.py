"""The environment as the kubelet builds it."""

from __future__ import annotations

import pytest
from kube_samples import config_maps, container

from vllmlint.kube.env import UNKNOWN_MARK, EnvVar, expand, is_complete, read_env
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import SourceText

CONFIG_MAPS = config_maps(
    """\
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: shared}
    data: {MODEL: from-map, PORT: "8000"}
    ---
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: other}
    data: {MODEL: from-other}
    """
)


def env_of(fields: str) -> dict[str, EnvVar]:
    """The variables of a container with these fields."""
    return read_env(container(fields).node, CONFIG_MAPS)


def texts(fields: str) -> dict[str, str | None]:
    """Their values."""
    return {name: variable.value for name, variable in env_of(fields).items()}


def variables(**values: str | None) -> dict[str, EnvVar]:
    """Variables by name; None for one that is not known."""
    node = Scalar(SourceText("x", "x"), 0, 1, "x", "", None)
    return {name: EnvVar(name, value, "value", node, node) for name, value in values.items()}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("$(A)", "one"),
        ("x$(A)y$(A)", "xoneyone"),
        ("$(A)$(B)", "onetwo"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$one"),
        ("$$$$(A)", "$$(A)"),
        ("$(MISSING)", "$(MISSING)"),
        ("$(MISSING)$(A)", "$(MISSING)one"),
        ("$A ${A}", "$A ${A}"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("a$", "a$"),
        ("$()", "$()"),
        ("$(cat $(A))", "$(cat $(A))"),
        ("$(EMPTY)x", "x"),
        ("$(NESTED)", "$(A)"),
        ("$(A)$$(", "one$("),
        ("$(A)$$$$ $(", "one$$ $("),
        ("$(" * 50_000, "$(" * 50_000),
    ],
)
def test_expansion(text: str, expanded: str) -> None:
    found = expand(text, variables(A="one", B="two", EMPTY="", NESTED="$(A)"))
    assert found.text == expanded
    assert found.unknown == ()
    assert len(found.offsets) == len(expanded) + 1


def test_expanded_characters_come_from_their_reference() -> None:
    found = expand("a$(A)b$$", variables(A="xyz"))
    assert found.text == "axyzb$"
    assert list(found.offsets) == [0, 1, 1, 1, 5, 6, 8]


def test_a_variable_that_is_not_known_leaves_a_mark() -> None:
    found = expand("--key=$(KEY)/$(A)", variables(KEY=None, A="x"))
    assert found.text == f"--key={UNKNOWN_MARK}/x"
    assert found.unknown == ("KEY",)


def test_a_variable_sees_only_those_before_it() -> None:
    found = texts(
        """\
        env:
          - {name: A, value: $(B)}
          - {name: B, value: b}
          - {name: C, value: $(B)$(A)}
          - {name: B, value: "$(B)2"}
        """
    )
    assert found == {"A": "$(B)", "B": "b2", "C": "b$(B)"}


def test_env_from_comes_first_and_a_later_one_wins() -> None:
    found = texts(
        """\
        env:
          - {name: PORT, value: "9000"}
          - {name: FULL, value: $(MODEL):$(PORT)}
        envFrom:
          - configMapRef: {name: shared}
          - configMapRef: {name: other}
        """
    )
    assert found == {"MODEL": "from-other", "PORT": "9000", "FULL": "from-other:9000"}


def test_a_prefix_of_env_from() -> None:
    found = env_of("envFrom:\n  - {prefix: VLLM_, configMapRef: {name: shared}}\n")
    assert {name: one.value for name, one in found.items()} == {"VLLM_MODEL": "from-map", "VLLM_PORT": "8000"}
    assert found["VLLM_MODEL"].ref == ("shared", "MODEL")
    node = found["VLLM_MODEL"].value_node
    assert node is not None
    assert node.content.text == "from-map"


@pytest.mark.parametrize(
    ("entry", "value", "source", "ref"),
    [
        ("value: x", "x", "value", None),
        ("value: 8000", "8000", "value", None),
        ('value: ""', "", "value", None),
        ("value:", "", "value", None),
        ("valueFrom: {secretKeyRef: {name: s, key: k}}", None, "secret", ("s", "k")),
        (
            "valueFrom: {configMapKeyRef: {name: shared, key: MODEL}}",
            "from-map",
            "configmap",
            ("shared", "MODEL"),
        ),
        ("valueFrom: {configMapKeyRef: {name: shared, key: NO}}", None, "configmap", ("shared", "NO")),
        ("valueFrom: {configMapKeyRef: {name: absent, key: k}}", None, "configmap", ("absent", "k")),
        ("valueFrom: {fieldRef: {fieldPath: status.podIP}}", None, "field", None),
        ("valueFrom: {resourceFieldRef: {resource: limits.cpu}}", None, "resource", None),
        ("valueFrom: {fileKeyRef: {key: k}}", None, "unknown", None),
    ],
)
def test_sources(entry: str, value: str | None, source: str, ref: tuple[str, str] | None) -> None:
    found = env_of(f"env:\n  - name: A\n    {entry}\n")["A"]
    assert (found.value, found.source, found.ref) == (value, source, ref)
    assert found.name_node.text == "A"


def test_what_depends_on_a_secret_is_not_known() -> None:
    found = texts(
        """\
        env:
          - {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}
          - {name: URL, value: https://$(KEY)@host}
          - {name: DEEP, value: $(URL)}
          - {name: ESCAPED, value: $$(KEY)}
        """
    )
    assert found == {"KEY": None, "URL": None, "DEEP": None, "ESCAPED": "$(KEY)"}


@pytest.mark.parametrize(
    ("env_from", "complete"),
    [
        ("[]", True),
        ("[{configMapRef: {name: shared}}]", True),
        ("[{configMapRef: {name: absent}}]", False),
        ("[{secretRef: {name: s}}]", False),
        ("[{configMapRef: {name: shared}}, {secretRef: {name: s}}]", False),
    ],
)
def test_whether_every_variable_is_known_by_name(env_from: str, complete: bool) -> None:
    node = container(f"envFrom: {env_from}\n").node
    assert is_complete(node, CONFIG_MAPS) is complete


def test_entries_that_make_no_sense_are_left_out() -> None:
    assert texts("env: [text, {value: x}, {name: null, value: x}, {name: A, value: a}]\n") == {"A": "a"}
    assert texts("env: {A: a}\n") == {}
