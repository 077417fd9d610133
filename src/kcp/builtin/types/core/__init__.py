"""The core group (``""``): version v1, served below ``/api``."""
