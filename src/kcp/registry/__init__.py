"""The registry: resource types, the REST verbs on them, admission, and the types that a logical cluster serves. Knows no HTTP."""
