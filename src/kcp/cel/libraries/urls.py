"""x"""
ROWS = []
