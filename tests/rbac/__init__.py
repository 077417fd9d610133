"""Role-based access control: who may do what in a logical cluster."""
