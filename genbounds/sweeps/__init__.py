"""Many independent runs: tasks, a store of their results, and executors to run them on."""

__all__: list[str] = []
