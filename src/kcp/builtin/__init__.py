"""The built-in types: declared in YAML under ``types/``, with strategies for what a declaration cannot say."""
