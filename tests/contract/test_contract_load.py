"""Contracts that are right, and problems at the very characters where they are wrong."""

from __future__ import annotations

import datetime

import pytest
from contract_samples import at, only_problem, parse

from vllmlint.contract import semantics
from vllmlint.contract.settings import Contract, Model, NodePool, Sharing, Taint

FULL = """\
vllm: {release: 0.33.0}
images:
  allowedRegistries: [registry.example.com]
  pin: digest
  releases: [{match: "registry.example.com/ai/vllm:*", vllm: 0.33.0, entrypoint: module}]
models:
  - {id: a/b, revision: 1234567, path: /models/b, config: configs/b.json, baseModel: null}
nodePools:
  a100:
    labels: {gpu.example.com/present: true}
    taints: [{key: gpu, value: "true"}]
    gpu: nvidia-a100-80gb-sxm
    gpuMemoryGib: null
    gpusPerNode: 8
    cpu: 96
    memory: 1Ti
    sharing: {strategy: time-slicing, replicas: 4}
environments:
  production: {paths: ["overlays/production/**"], nodePools: [a100]}
rules:
  severity: {VL101: off}
  options: {VL101: {limit: 5}}
  perPath: [{paths: [a/**], ignore: [memory], until: 2027-01-31}]
failOn: warning
"""


def test_full_contract() -> None:
    loaded = parse(FULL)
    assert loaded.problems == []
    contract = loaded.contract
    assert contract is not None
    assert contract.vllm.release == "0.33.0"
    assert contract.images.pin == "digest"
    assert contract.images.releases[0].entrypoint == "module"
    assert contract.models == (Model("a/b", "1234567", "/models/b", "configs/b.json"),)
    assert contract.node_pools["a100"] == NodePool(
        labels={"gpu.example.com/present": "true"},
        taints=(Taint("gpu", "true"),),
        gpu="nvidia-a100-80gb-sxm",
        gpus_per_node=8,
        cpu="96",
        memory="1Ti",
        sharing=Sharing("time-slicing", 4),
    )
    assert contract.environments["production"].node_pools == ("a100",)
    assert contract.rules.severity == {"image-tag-floating": "off"}
    assert contract.rules.options == {"image-tag-floating": {"limit": 5}}
    assert contract.rules.per_path[0].until == datetime.date(2027, 1, 31)
    assert contract.fail_on == "warning"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}", "images:\nrules:\n"])
def test_empty_contract(text: str) -> None:
    assert parse(text).contract == Contract()


def test_plain_scalars_are_taken_as_written() -> None:
    loaded = parse("nodePools: {a: {labels: {x: 0x10, y: 1.50}, driver: 550.90}}\nvllm: {release: 0.33.0}")
    assert loaded.contract is not None
    pool = loaded.contract.node_pools["a"]
    assert (pool.labels, pool.driver) == ({"x": "0x10", "y": "1.50"}, "550.90")


WRONG = [
    # unknown keys, at the key
    ("nodepools: {}", 1, 1, "nodepools", "unknown key `nodepools`: did you mean `nodePools`?"),
    ("rules:\n  per-path: []", 2, 3, "per-path", "unknown key `per-path`: did you mean `perPath`?"),
    (
        "nodePools:\n  a:\n    gpu_memory_gib: 80",
        3,
        5,
        "gpu_memory_gib",
        "unknown key `gpu_memory_gib`: did you mean `gpuMemoryGib`?",
    ),
    (
        "models:\n  - id: a\n    revison: b",
        3,
        5,
        "revison",
        "unknown key `revison`: did you mean `revision`?",
    ),
    (
        "minConcurrency: 3",
        1,
        1,
        "minConcurrency",
        "unknown key `minConcurrency`: it belongs under another section, as `serving.minConcurrency`",
    ),
    ('"zzz": 1', 1, 2, "zzz", "unknown key `zzz`: known here are `extends`, `vllm`, `images`, `models`, "),
    # wrong types and choices, at the value
    ("failOn: never", 1, 9, "never", "`failOn` is `never`, but must be one of `error`, `warning`, `info`"),
    (
        "images: {pin: 'tag'}",
        1,
        16,
        "tag",
        "`images.pin` is `tag`, but must be one of `digest`, `release`, `any`",
    ),
    (
        "serving:\n  minConcurrency: 0",
        2,
        19,
        "0",
        "`serving.minConcurrency` is `0`, but must be at least 1",
    ),
    (
        "serving:\n  minConcurrency: '8'",
        2,
        20,
        "8",
        "`serving.minConcurrency` is `8`, but must be a whole number",
    ),
    ("serving: {minConcurrency: 1.5}", 1, 27, "1.5", "but must be a whole number"),
    ("storage: {readGibPerSecond: 0}", 1, 29, "0", "but must be more than 0"),
    ("storage: {readGibPerSecond: .inf}", 1, 29, ".inf", "but must be a finite number"),
    ("storage: {readGibPerSecond: fast}", 1, 29, "fast", "but must be a number"),
    ("rules: {requireReason: 1}", 1, 24, "1", "`rules.requireReason` is `1`, but must be true or false"),
    ("models: {id: a}", 1, 9, "{id: a}", "`models` is a mapping, but must be a list"),
    ("models:\n  id: a\n  path: b", 1, 1, "models", "`models` is a mapping, but must be a list"),
    ("images: []", 1, 9, "[]", "`images` is a list, but must be a mapping"),
    ("images: docker", 1, 9, "docker", "`images` is `docker`, but must be a mapping"),
    ("rules: {ignore: all}", 1, 17, "all", "`rules.ignore` is `all`, but must be a list"),
    ("rules: {ignore: [[]]}", 1, 18, "[]", "`rules.ignore[0]` is a list, but must be a text"),
    ("rules: {severity: {VL101: loud}}", 1, 27, "loud", "one of `error`, `warning`, `info`, `off`"),
    ("extends: {a: b}", 1, 10, "{a: b}", "`extends` is a mapping, but must be a text or a list"),
    ("vllm: {release: v0.33.0}", 1, 17, "v0.33.0", "must be a vLLM release such as 0.33.0, without a `v`"),
    ("vllm: {release: 0.33}", 1, 17, "0.33", "must be a vLLM release such as 0.33.0, without a `v`"),
    ("nodePools: {a: {memory: 1TB}}", 1, 25, "1TB", "must be a Kubernetes quantity such as 96, 500m or 1Ti"),
    ("models: [{id: ''}]", 1, 15, "''", "`models[0].id` is empty, but must be a text that is not empty"),
    (
        "rules:\n  perPath:\n    - paths: [a]\n      ignore: [all]\n      until: 2027-02-30",
        5,
        14,
        "2027-02-30",
        "`rules.perPath[0].until` is `2027-02-30`, but must be a date such as 2026-12-31",
    ),
    (
        "rules: {perPath: [{paths: [a], ignore: [all], until: soon}]}",
        1,
        54,
        "soon",
        "a date such as 2026-12-31",
    ),
    ("rules: {perPath: [{paths: [a], ignore: [all], until: 20270131}]}", 1, 54, "20270131", "a date such as"),
    # missing keys, at the entry
    ("models:\n  - revision: a", 2, 5, "revision", "`models[0]` has no `id`"),
    ("environments:\n  prod: {nodePools: []}", 2, 3, "prod", "`environments.prod` has no `paths`"),
    # names
    (
        "nodePools: {a100: {}, h100: {}}\nenvironments:\n  p: {paths: [a], nodePools: [a100, h10]}",
        3,
        37,
        "h10",
        "unknown node pool `h10`: did you mean `h100`?",
    ),
    ("environments: {p: {paths: [a], nodePools: [x]}}", 1, 44, "x", "`nodePools` has no such pool"),
    (
        "rules: {ignore: [VL101, image-tag-floatin]}",
        1,
        25,
        "image-tag-floatin",
        "unknown rule `image-tag-floatin`: did you mean `image-tag-floating`?",
    ),
    (
        "rules: {select: [recomended]}",
        1,
        18,
        "recomended",
        "unknown rule `recomended`: did you mean `recommended`?",
    ),
    ("rules: {ignore: [recommended]}", 1, 18, "recommended", "unknown rule `recommended`"),
    ("rules: {ignore: [pining]}", 1, 18, "pining", "did you mean `pinning`?"),
    ("rules: {mandatory: [VL999]}", 1, 21, "VL999", "unknown rule `VL999`"),
    ("rules: {severity: {VL999: error}}", 1, 20, "VL999", "unknown rule `VL999`"),
    ("rules: {options: {pinning: {}}}", 1, 19, "pinning", "unknown rule `pinning`"),
    ("rules: {perPath: [{paths: [a], ignore: [VL9]}]}", 1, 41, "VL9", "unknown rule `VL9`"),
    ("rules: {perObject: [{name: a, severity: {VL9: off}}]}", 1, 42, "VL9", "unknown rule `VL9`"),
    (
        "rules: {severity: {VL101: info, image-tag-floating: off}}",
        1,
        33,
        "image-tag-floating",
        "`image-tag-floating` and `VL101` are one rule, set twice",
    ),
    (
        "rules: {options: {VL101: {limt: 3}}}",
        1,
        27,
        "limt",
        "rule `image-tag-floating` has no option `limt`: did you mean `limit`?",
    ),
    (
        "rules: {options: {VL301: {a: 3}}}",
        1,
        27,
        "a",
        "rule `weights-do-not-fit` has no option `a`: it has none",
    ),
    (
        "rules: {options: {VL101: {limit: x}}}",
        1,
        34,
        "x",
        "option `limit` of rule `image-tag-floating` must be a number",
    ),
    ("rules: {options: {VL101: {moving: x}}}", 1, 35, "x", "must be a list"),
    # entries that cannot be meant
    (
        "rules: {perPath: [{paths: [a]}]}",
        1,
        20,
        "paths",
        "changes no rule: it has no `select`, `ignore` or `severity`",
    ),
    ("rules: {perObject: [{name: a}]}", 1, 22, "name", "changes no rule: it has no `ignore` or `severity`"),
    ("rules: {perObject: [{ignore: [all]}]}", 1, 22, "ignore", "selects no object"),
    (
        "rules: {mandatory: [VL101], ignore: [image-tag-floating]}",
        1,
        38,
        "image-tag-floating",
        "`image-tag-floating` is in `rules.mandatory` and cannot be silenced",
    ),
    ("rules: {mandatory: [VL101], severity: {VL101: off}}", 1, 40, "VL101", "cannot be silenced"),
    (
        "rules: {requireReason: true, perPath: [{paths: [a], ignore: [VL101]}]}",
        1,
        53,
        "ignore",
        "`rules.perPath[0]` has no `reason`, which `requireReason` demands",
    ),
    (
        "rules: {requireReason: true, perObject: [{name: a, severity: {VL101: off}}]}",
        1,
        63,
        "VL101",
        "no `reason`",
    ),
    # files that are no contract
    ("- a\n- b", 1, 1, "- a", "a contract is a mapping of sections"),
    ("hello", 1, 1, "hello", "a contract is a mapping of sections"),
    ("failOn: info\n---\nimages: {}\n", 3, 1, "images: {}", "a contract is one document"),
    ("failOn: info\nfailOn: error", 2, 1, "failOn", "the key 'failOn' stands twice"),
    ("failOn: {{ .Values.failOn }}", 1, 9, "{{", "a contract cannot be a template"),
    ("failOn: [", 1, 9, "[", "not valid YAML"),
]


@pytest.mark.parametrize(
    ("text", "line", "column", "marked", "message"), WRONG, ids=[case[0] for case in WRONG]
)
def test_problem_stands_where_it_is(text: str, line: int, column: int, marked: str, message: str) -> None:
    problem = only_problem(text)
    assert at(problem) == ("vllmlint.yaml", line, column, marked)
    assert message in problem.message


def test_every_problem_is_reported_in_order() -> None:
    loaded = parse("failOn: x\nnodepools: {}\nserving: {minConcurrency: 0}\nenvironments: {a: {}}")
    assert [problem.place.text for problem in loaded.problems] == ["x", "nodepools", "0", "a"]


def test_undecodable_file() -> None:
    from vllmlint.contract.load import parse_contract

    loaded = parse_contract("vllmlint.yaml", b"failOn: \xff", lambda _path: None)
    assert [problem.kind for problem in loaded.problems] == ["document-unparsable"]


def test_rule_names_go_unchecked_without_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_key: str) -> None:
        raise FileNotFoundError("index.json")

    monkeypatch.setattr(semantics, "all_rules", missing)
    monkeypatch.setattr(semantics, "find_rule", missing)
    loaded = parse("rules: {ignore: [any-name], severity: {other: off}, mandatory: [third]}")
    assert loaded.contract is not None
    assert loaded.contract.rules.severity == {"other": "off"}


def test_reason_satisfies_require_reason() -> None:
    entry = "{paths: [a], ignore: [VL101], reason: known}"
    assert not parse(f"rules: {{requireReason: true, perPath: [{entry}]}}").problems
    assert not parse(
        "rules: {requireReason: true, perPath: [{paths: [a], severity: {VL101: info}}]}"
    ).problems
