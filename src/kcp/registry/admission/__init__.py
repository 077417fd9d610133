"""The admission chain: what may change or refuse a write."""
