"""API negotiation: one API for a resource that clusters serve in different ways."""
