"""Caches that follow a resource: a reflector lists and watches, a cache keeps bytes and summaries, handlers hear of changes."""
