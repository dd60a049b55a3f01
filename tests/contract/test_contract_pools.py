"""Which pools a file may be deployed to, and what is wrong with a pool's hardware."""

from __future__ import annotations

import pytest
from contract_samples import parse

from vllmlint.contract.pools import contract_profiles, pool_names

POOLS = "nodePools: {a100: {gpu: A100}, h100: {gpu: H100}}\n"
CONTRACT = POOLS + (
    "environments:\n"
    "  production: {paths: ['overlays/production/**'], nodePools: [h100]}\n"
    "  staging: {paths: [overlays/staging]}\n"
    "  nowhere: {paths: [drafts], nodePools: []}\n"
)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("overlays/production/a.yaml", ("h100",)),
        ("overlays/staging/a.yaml", ("a100", "h100")),
        ("drafts/a.yaml", ()),
        ("base/a.yaml", ("a100", "h100")),
    ],
)
def test_the_environment_narrows_the_pools(path: str, names: tuple[str, ...]) -> None:
    contract = parse(CONTRACT).contract
    assert contract is not None
    assert pool_names(contract, path) == names
    assert tuple(profile.name for profile in contract_profiles(contract, path)) == names


@pytest.mark.parametrize(
    ("text", "guilty", "message"),
    [
        ("{gpu: nvidia-a100-80gb-smx}", "nvidia-a100-80gb-smx", "did you mean `nvidia-a100-80gb-sxm`?"),
        ("{gpu: whatever}", "whatever", "unknown GPU `whatever`"),
        ("{gpu: nvidia-t4, mig: 1g.5gb}", "1g.5gb", "it cannot be cut"),
        (
            "{gpu: nvidia-a100-80gb-sxm, mig: 3g.20gb}",
            "3g.20gb",
            "has no MIG profile `3g.20gb`: it has `1g.10gb`",
        ),
        ("{kubernetes: new}", "new", "must be a Kubernetes version such as 1.34"),
        ("{resources: {rdma/ib: many}}", "many", "must be a Kubernetes quantity"),
        ("{migStrategy: none}", "none", "must be"),
    ],
)
def test_hardware_that_cannot_be_is_a_problem(text: str, guilty: str, message: str) -> None:
    loaded = parse(f"nodePools: {{p: {text}}}\n")
    (problem,) = loaded.problems
    assert message in problem.message
    place = problem.place
    assert place.source.text[place.start : place.end] == guilty
    assert loaded.contract is None


@pytest.mark.parametrize(
    "text",
    [
        "{gpu: whatever, gpuMemoryGib: 24}",
        "{gpu: A100, mig: 3g.20gb}",
        "{gpu: A100, mig: 3g.40gb}",
        "{gpu: nvidia-a100-40gb-sxm, mig: 1g.5gb.me}",
        "{instanceType: m5.large, kubernetes: 1.34, resources: {rdma/ib: 8}}",
    ],
)
def test_hardware_that_may_be_is_none(text: str) -> None:
    assert parse(f"nodePools: {{p: {text}}}\n").problems == []
