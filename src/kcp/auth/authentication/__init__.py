"""Authentication: which user a request comes from. One module per kind of credential, and their union."""
