"""Service accounts: the keys and claims of their tokens, issuing tokens, and authenticating with them.

A token is a JSON Web Token (RFC 7519) that names an account of one logical cluster and is void in every other.
"""
