"""Resource types, strategies, the REST verbs, admission, and the API surface of a logical cluster. Knows no HTTP."""
