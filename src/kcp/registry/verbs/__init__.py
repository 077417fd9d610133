"""The REST verbs on all resource types, and what they read through."""
