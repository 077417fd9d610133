"""Faults of disks, clocks, networks and processes under load. `python -m tests.faults` prints the table of results."""
