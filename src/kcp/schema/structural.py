"""placeholder"""
def validate_structural(raw: dict, path: str) -> list:
    raise NotImplementedError
