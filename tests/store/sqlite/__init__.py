"""Properties of the SQLite file: its lock, its format, crashes, disk space."""
