"""The contract of the log, checked on every backend."""
