"""Discovery and OpenAPI documents of the types that a logical cluster serves."""
