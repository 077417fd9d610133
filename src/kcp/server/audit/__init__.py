"""Audit by a policy file: which requests are recorded at what level, the events, and the backends that write or send them.

Follows the Kubernetes page "Auditing" and audit.k8s.io/v1. `kcp.server.requests.audit_events` calls it for each request.
"""
