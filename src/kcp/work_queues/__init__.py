"""Queues of keys to reconcile, and how their work shares the event loop."""
