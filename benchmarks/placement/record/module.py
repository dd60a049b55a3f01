"""Print the go.mod of the recorder: k8s.io/kubernetes of a release, and the staging modules it needs."""

from __future__ import annotations

import sys

#: The modules that kubernetes/kubernetes publishes from its staging directory.
STAGING = """
    api apiextensions-apiserver apimachinery apiserver cli-runtime client-go
    cloud-provider cluster-bootstrap code-generator component-base component-helpers controller-manager
    cri-api cri-client cri-streaming csi-translation-lib dynamic-resource-allocation endpointslice
    externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler
    kubectl kubelet metrics mount-utils pod-security-admission sample-apiserver
    sample-cli-plugin sample-controller streaming
"""


def main() -> None:
    """Print the module file for the release that is given, as in `1.37.2`."""
    release = sys.argv[1]
    print(f"module record\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v{release}\n\nreplace (")
    for name in STAGING.split():
        print(f"\tk8s.io/{name} => k8s.io/{name} v0.{release.partition('.')[2]}")
    print(")")


if __name__ == "__main__":
    main()
