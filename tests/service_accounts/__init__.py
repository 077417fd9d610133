"""Service accounts and their tokens, against running servers."""
