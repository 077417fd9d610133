"""events.k8s.io/v1: the core group's Events under newer field names (KEP-383)."""
