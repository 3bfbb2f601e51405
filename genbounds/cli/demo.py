def demo(x: int = 1) -> None:
    """Tell demo."""
