"""API objects: metadata, names, selectors, patches, errors. Pure functions on plain JSON data, no I/O."""
