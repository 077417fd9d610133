"""What many large definitions cost: ``python -m bench.definitions``."""
