"""HTTP: one keep-alive connection pool per API server, with its limits, retries and errors."""
