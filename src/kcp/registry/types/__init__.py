"""Resource types, their strategies, and the catalog of the types that each logical cluster serves."""
