"""The REST verbs on all resource types, and the modules that they read and write through."""
