"""The controllers that run inside the server: namespaces, CustomResourceDefinitions, garbage collection.

A controller follows the log and acts through the registry, as a client does. `kcp.controllers.manager.CONTROLLERS` lists them.
"""
