"""What only the SQLite file has: its lock, its format, its crashes, its space."""
