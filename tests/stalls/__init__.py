"""Requests made to stall the server: none holds the event loop for long, and none makes its memory grow much.

The server is a real one in a process of its own (`measured_server.py`), which reports the processor time of each iteration of its
event loop and the growth of its memory while a request was served. `requests.py` has the requests.
"""
