"""Informers: a reflector lists and watches, a cache keeps bytes and summaries, handlers are called with changes."""
