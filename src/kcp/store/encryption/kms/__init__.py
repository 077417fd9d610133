"""Envelope encryption with keys of a key management service (KMS), by Kubernetes' plugin API, version 2 (KEP-3299)."""
