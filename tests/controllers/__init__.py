"""The in-process controllers, over a registry and a real log."""
