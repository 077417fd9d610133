"""authorization.k8s.io/v1: reviews, which are answered and never stored."""
