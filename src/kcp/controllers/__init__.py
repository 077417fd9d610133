"""In-process controllers: namespaces, garbage collection, CustomResourceDefinitions. They follow the log and call the
registry.
"""
