"""What an API server serves: discovery documents and the names that they give to resources."""
