"""The forms in which objects are answered: whole, metadata only, tables, protobuf."""
