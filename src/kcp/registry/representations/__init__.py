"""The forms in which objects are served: whole, metadata only, rows of a table; as JSON, or whole as protobuf.

Each form is a class with the methods of `kcp.registry.verbs.representation`; `framing` and `served_objects` are what they share.
"""
