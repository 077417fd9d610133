"""Admission: the plugins that may change or refuse a write before it is stored.

`chain.py` defines what a plugin is and for which writes it is called. Each plugin gets a module of its own beside it (quotas,
limit ranges, webhooks, admission policies) and is passed to the server's composition, which puts it into the `Chain` of the
registry. The steps of a write that call the chain are in `kcp.registry.verbs.writing`.
"""
