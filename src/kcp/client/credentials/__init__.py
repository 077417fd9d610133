"""Credentials of a client: the contract, and a module for each source."""
