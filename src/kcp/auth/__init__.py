"""Who asks, and what they may do: users, authenticators, authorizers. Knows no HTTP."""
