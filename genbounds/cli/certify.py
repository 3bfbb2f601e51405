def certify(x: int = 1) -> None:
    """Tell certify."""
