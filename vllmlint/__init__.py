"""Deployment-contract linter for vLLM on Kubernetes."""
