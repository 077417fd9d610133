"""One folder for each API group, and in it one for each built-in type."""
