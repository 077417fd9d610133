"""Discovery: the documents, the cache, and the resolution of resource names."""
