"""Resource types: what a group serves, how a type differs from its schema, and which types a logical cluster has."""
