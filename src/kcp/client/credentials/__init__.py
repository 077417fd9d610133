"""What a client identifies itself with: a contract, and a module for each source of credentials."""
