"""What kube-scheduler decides, over plain records: on which nodes a pod can run, and why not on the others.

The room knows nothing of manifests or vLLM: objects come in as plain data (what JSON or YAML decodes to),
reasons go out with the route of the field in the pod that causes them. Semantics: kube-scheduler of
Kubernetes 1.28 to 1.37 with its default profile (`scheduling.md`).
"""
