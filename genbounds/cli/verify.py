def verify(x: int = 1) -> None:
    """Tell verify."""
