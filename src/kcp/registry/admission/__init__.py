"""Admission: the plugins that may change or refuse a write before it is stored.

The room of admission plugins. `chain.py` defines what a plugin is and which writes it is called for; each plugin gets a module of
its own beside it (namespace quota, limit ranges, webhooks, admission policies) and is passed to the server's composition, which
puts it into the `Chain` of the registry. The steps of a write that call the chain are in `kcp.registry.verbs.writing`.
"""
