"""Plans of command lines, as the commands make them."""

from __future__ import annotations

from typing import Any

from vllmlint.hardware.gpu import Gpu
from vllmlint.hardware.gpus import gpu_by_id
from vllmlint.plans.fit import FitPlan, plan_subject
from vllmlint.plans.fit_model import known_model
from vllmlint.plans.fit_subject import FitSubject
from vllmlint.serving.release import Release


def gpu_of(name: str) -> Gpu:
    """A GPU that is surely known."""
    found = gpu_by_id(name)
    assert found is not None, name
    return found


def subject_of(model: str, release: str = "0.33.0", **settings: Any) -> FitSubject:
    """A server told so."""
    known = known_model(model)
    assert known.architecture is not None, known.problem
    parsed = Release.parse(release)
    assert parsed is not None
    return FitSubject(None, known.id, known.architecture, "", parsed, settings, frozenset(), {}, None)


def planned(model: str, gpu: str, release: str = "0.33.0", **settings: Any) -> FitPlan:
    """The plan of a model on a GPU."""
    return plan_subject(subject_of(model, release, **settings), gpu_of(gpu))
