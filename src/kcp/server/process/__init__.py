"""A server process: configuration, composition, storage, identity, listening, start and stop."""
