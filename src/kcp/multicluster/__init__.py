"""Controllers and tools that join Kubernetes clusters to kcp. They reach every API server over HTTP."""
