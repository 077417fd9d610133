"""Authentication and authorization: users, authenticators, authorizers. Knows no HTTP."""
