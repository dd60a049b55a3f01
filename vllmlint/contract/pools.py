"""The node pools that a file may be deployed to."""

from __future__ import annotations

from vllmlint.contract.settings import Contract, environment_of
from vllmlint.hardware.pools import pool_profiles
from vllmlint.hardware.profile import NodeProfile


def pool_names(contract: Contract, relative_path: str) -> tuple[str, ...]:
    """The pools of the environment that a file is in; all of them where it is in none, or the environment
    names no pools. `relative_path` starts at the contract's directory."""
    name = environment_of(contract, relative_path)
    chosen = None if name is None else contract.environments[name].node_pools
    return tuple(contract.node_pools) if chosen is None else chosen


def contract_profiles(contract: Contract, relative_path: str) -> tuple[NodeProfile, ...]:
    """The profiles of the nodes that a file may be deployed to, as the contract describes them."""
    names = set(pool_names(contract, relative_path))
    return tuple(profile for profile in pool_profiles(contract.node_pools) if profile.name in names)


def pools_of_environment(contract: Contract, name: str) -> tuple[NodeProfile, ...]:
    """The profiles of the pools that an environment names; all pools where it names none."""
    chosen = contract.environments[name].node_pools
    return tuple(
        profile for profile in pool_profiles(contract.node_pools) if chosen is None or profile.name in chosen
    )
