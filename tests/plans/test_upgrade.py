"""The upgrade plan: its shape, joins across objects, and what it says of itself."""

from __future__ import annotations

from typing import Any

import yaml
from upgrade_runs import deployment, plan_of, release, rule, world_of

from vllmlint.contract.settings import Contract, ImageRelease, Images
from vllmlint.plans.upgrade import upgrade_world

CHANGE_KEYS = {"kind", "name", "before", "after", "breaks", "replacement", "note", "message", "file", "line"}


def _named(server: dict[str, Any], name: str) -> dict[str, Any]:
    found = [change for change in server["changes"] if change["name"] == name]
    assert len(found) == 1, server["changes"]
    change: dict[str, Any] = found[0]
    return change


def _breaking(server: dict[str, Any]) -> list[str]:
    return [change["name"] for change in server["changes"] if change["breaks"]]


def test_shape_of_the_plan() -> None:
    """The fields of the design page are there, places point at the word, and what breaks comes first."""
    text = deployment({"from": "0.10.2", "args": ["--model=org/m", "--swap-space=8"]})
    plan = upgrade_world(world_of({"m.yaml": text}), release("v0.33.0"))
    (server,) = plan["servers"]
    assert plan["schema_version"] == "1"
    assert server["object"] == {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "", "name": "m"}
    assert (server["file"], server["container"], server["from"], server["to"]) == (
        "m.yaml",
        "vllm",
        "0.10.2",
        "0.33.0",
    )
    assert all(set(change) == CHANGE_KEYS for change in server["changes"])
    first = server["changes"][0]
    assert first == {
        "kind": "flag",
        "name": "--swap-space",
        "before": "8",
        "after": "refused: removed in 0.18.0",
        "breaks": True,
        "replacement": "remove it",
        "note": None,
        "message": "unrecognized arguments: --swap-space=8",
        "file": "m.yaml",
        "line": text[: text.index("--swap-space")].count("\n") + 1,
    }
    breaks = [change["breaks"] for change in server["changes"]]
    assert breaks == sorted(breaks, reverse=True)


def test_same_release_changes_nothing() -> None:
    """A server that runs the target already has no changes."""
    (server,) = plan_of({"m.yaml": deployment({"from": "0.33.0", "args": ["org/m"]})}, "0.33.0")
    assert server["changes"] == []


def test_from_overrides_the_tag() -> None:
    """`--from` wins over what the image says."""
    text = deployment({"from": "0.33.0", "args": ["--model", "org/m", "--max-seq-len-to-capture=9"]})
    (server,) = plan_of({"m.yaml": text}, "0.33.0", source=release("0.10.2"))
    assert server["from"] == "0.10.2"
    assert _breaking(server) == ["--max-seq-len-to-capture"]


def test_unknown_release_is_held_against_the_target_alone() -> None:
    """Without a source release the target's own refusals show, and no defaults."""
    row = {
        "image": "vllm/vllm-openai:latest",
        "args": ["org/m", "--swap-space=8", "--disable-cascade-attn"],
        "env": {"VLLM_USE_V1": "1", "VLLM_MINE": "1", "VLLM_USE_DEEP_GEMM": "true"},
        "probe": "/health",
    }
    files = {"m.yaml": deployment(row), "r.yaml": rule("vllm:gpu_cache_usage_perc")}
    (server,) = plan_of(files, "0.33.0")
    assert server["from"] is None
    assert "--from" in server["notes"][0]
    assert {(change["kind"], change["name"]) for change in server["changes"]} == {
        ("flag", "--swap-space"),
        ("flag", "--disable-cascade-attn"),
        ("env", "VLLM_USE_V1"),
        ("env", "VLLM_USE_DEEP_GEMM"),
        ("metric", "vllm:gpu_cache_usage_perc (PrometheusRule/r)"),
    }
    assert _named(server, "--disable-cascade-attn")["breaks"] is False


def test_release_between_tables_is_said() -> None:
    """A release that was not read is judged by its neighbour, and the plan says so."""
    (server,) = plan_of({"m.yaml": deployment({"from": "0.15.0", "args": ["org/m"]})}, "0.99.0")
    assert [note.partition(":")[0] for note in server["notes"]] == [
        "no table of 0.15.0 was read",
        "no table of 0.99.0 was read",
    ]
    assert "newest" in server["notes"][1]


def test_contract_names_the_entrypoint_of_a_private_image() -> None:
    """An image rule of the contract gives release and entrypoint, which then stays what it is."""
    row = ImageRelease(match="reg.example.com/*", vllm="0.11.0", entrypoint="serve")
    contract = Contract(images=Images(releases=(row,)))
    text = deployment({"image": "reg.example.com/vllm:7", "args": ["org/m", "--swap-space=8"]})
    (server,) = plan_of({"m.yaml": text}, "0.18.0", contract=contract)
    assert server["from"] == "0.11.0"
    assert _breaking(server) == ["--swap-space"]
    assert not [change for change in server["changes"] if change["name"] == "entrypoint"]


def test_config_file_of_the_run_is_compared_too() -> None:
    """Flags of a `--config` file that a ConfigMap holds have their own place."""
    config = "model: org/m\nswap-space: 8\n"
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"vllm.yaml": config},
    }
    text = yaml.safe_load(deployment({"from": "0.17.1", "args": ["--config", "/etc/vllm/vllm.yaml"]}))
    pod = text["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "c", "configMap": {"name": "c"}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "c", "mountPath": "/etc/vllm"}]
    files = {"m.yaml": yaml.safe_dump(text), "c.yaml": yaml.safe_dump(config_map)}
    (server,) = plan_of(files, "0.18.0")
    assert _breaking(server) == ["--swap-space"]
    assert _named(server, "--swap-space")["file"] == "c.yaml"


def test_shell_script_is_compared_too() -> None:
    """A flag inside `sh -c` is found at its own line."""
    script = "set -e\nexec vllm serve org/m \\\n  --swap-space 8\n"
    text = deployment({"from": "0.17.1", "command": ["sh", "-c"], "args": [script]})
    (server,) = plan_of({"m.yaml": text}, "0.18.0")
    change = _named(server, "--swap-space")
    assert change["breaks"]
    assert text.splitlines()[change["line"] - 1].count("--swap-space") == 1


def test_unknown_words_hide_defaults_but_not_known_flags() -> None:
    """What the manifest does not tell is said, and nothing is guessed from it."""
    text = deployment(
        {"from": "0.17.1", "command": ["sh", "-c"], "args": ["vllm serve org/m $EXTRA --swap-space 8"]}
    )
    (server,) = plan_of({"m.yaml": text}, "0.33.0")
    assert _breaking(server) == ["--swap-space"]
    assert not [change for change in server["changes"] if change["kind"] == "default"]
    assert "not known" in server["notes"][0]


def test_all_defaults_adds_the_unreviewed() -> None:
    """Differences of the parsers' tables that are not known to matter show only when asked for."""
    files = {"m.yaml": deployment({"from": "0.17.1", "args": ["org/m"]})}
    few = {change["name"] for change in plan_of(files, "0.18.0")[0]["changes"]}
    many = {change["name"] for change in plan_of(files, "0.18.0", all_defaults=True)[0]["changes"]}
    assert "--disable-cascade-attn" not in few
    assert many - few == {"--disable-cascade-attn"}


def test_metrics_are_told_of_the_nearest_servers() -> None:
    """A rule speaks of the servers nearest to it, whatever lies elsewhere in the run."""
    one = deployment({"from": "0.10.2", "args": ["--model=org/m"], "name": "one"})
    two = deployment({"from": "0.10.2", "args": ["--model=org/m"], "name": "two"})
    files = {
        "a/app/one.yaml": one,
        "b/app/two.yaml": two,
        "a/monitoring/rule.yaml": rule("vllm:gpu_cache_usage_perc > 0.9"),
    }
    plans = {server["object"]["name"]: server for server in plan_of(files, "0.12.0")}
    assert _breaking(plans["one"]) == ["vllm:gpu_cache_usage_perc (PrometheusRule/r)"]
    assert plans["one"]["changes"][0]["file"] == "a/monitoring/rule.yaml"
    assert _breaking(plans["two"]) == []


def test_metrics_of_an_unrelated_project_are_left_alone() -> None:
    """Among many projects a rule without servers of its own speaks of none; of the only one it does."""
    files = {
        f"{name}/app.yaml": deployment({"from": "0.10.2", "args": ["--model=org/m"], "name": name})
        for name in ("one", "two")
    }
    lonely = rule("vllm:gpu_cache_usage_perc > 0.9")
    for server in plan_of({**files, "three/rule.yaml": lonely}, "0.12.0"):
        assert _breaking(server) == []
    for server in plan_of({**files, "rule.yaml": lonely}, "0.12.0"):
        assert _breaking(server) == ["vllm:gpu_cache_usage_perc (PrometheusRule/r)"]
    (server,) = plan_of({"one/app.yaml": files["one/app.yaml"], "monitoring/rule.yaml": lonely}, "0.12.0")
    assert _breaking(server) == ["vllm:gpu_cache_usage_perc (PrometheusRule/r)"]


def test_autoscaler_speaks_of_its_target() -> None:
    """A ScaledObject names what it scales; the other server beside it is left alone."""
    scaler = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "s"},
        "spec": {
            "scaleTargetRef": {"name": "two"},
            "triggers": [
                {
                    "type": "prometheus",
                    "metadata": {"query": "avg(vllm:gpu_cache_usage_perc)", "threshold": "1"},
                }
            ],
        },
    }
    files = {
        f"{name}.yaml": deployment({"from": "0.10.2", "args": ["--model=org/m"], "name": name})
        for name in ("one", "two")
    }
    plans = {
        server["object"]["name"]: server
        for server in plan_of({**files, "s.yaml": yaml.safe_dump(scaler)}, "0.12.0")
    }
    assert _breaking(plans["one"]) == []
    assert _breaking(plans["two"]) == ["vllm:gpu_cache_usage_perc (ScaledObject/s)"]


def test_exec_probe_that_asks_its_own_server() -> None:
    """The path in a URL to localhost counts like that of an httpGet."""
    text = yaml.safe_load(deployment({"from": "0.10.2", "args": ["--model=org/m"]}))
    container = text["spec"]["template"]["spec"]["containers"][0]
    container["livenessProbe"] = {"exec": {"command": ["sh", "-c", "curl -f http://localhost:8000/health"]}}
    (server,) = plan_of({"m.yaml": yaml.safe_dump(text)}, "0.11.0")
    change = _named(server, "/health of a dead engine")
    assert not change["breaks"]
    assert "503" in change["after"]


def test_probe_of_another_port_is_not_judged() -> None:
    """A sidecar's port is not vLLM's."""
    text = yaml.safe_load(deployment({"from": "0.10.2", "args": ["--model=org/m"]}))
    container = text["spec"]["template"]["spec"]["containers"][0]
    container["livenessProbe"] = {"httpGet": {"path": "/health", "port": 9000}}
    (server,) = plan_of({"m.yaml": yaml.safe_dump(text)}, "0.11.0")
    assert not [change for change in server["changes"] if change["kind"] == "probe"]


def test_lost_flag_does_not_blame_the_model() -> None:
    """The value of a removed flag that lands in the model's place is not told as another model."""
    text = deployment(
        {"from": "0.17.1", "command": ["vllm", "serve"], "args": ["--swap-space", "8", "org/m"]}
    )
    (server,) = plan_of({"m.yaml": text}, "0.18.0")
    assert _breaking(server) == ["--swap-space"]
