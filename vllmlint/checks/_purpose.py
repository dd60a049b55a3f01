"""What a server is for, as far as its names tell."""

from __future__ import annotations

import re

from vllmlint.regex import regex
from vllmlint.serving.server import Server
from vllmlint.world import World

#: Words that people put into names of what serves nobody but themselves.
_TRIAL = regex(
    r"(?:^|[-_./])(?:tests?|testing|dev|devel|development|debug|debugging|sandbox|smoke|ci|e2e|bench|benchmarks?"
    r"|demo|playground|experiments?|poc|perf|regression|trial|tmp)(?:$|[-_./])",
    re.IGNORECASE,
)


def is_trial(server: Server, world: World) -> bool:
    """Whether a server is a Job, or its names, labels, namespace or directory say test, dev, demo."""
    if server.workload.is_batch:
        return True
    obj = server.object
    path = world.contract_of(obj.file.path).relative_path
    values = (obj.name, obj.namespace, server.container.name, path, *server.workload.labels.values())
    return any(_TRIAL.search(value) is not None for value in values)
