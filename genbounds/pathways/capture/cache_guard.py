"""Caches of keys whose rows must stay where they are while routing is recorded: another order would mix samples."""

from typing import Any

from genbounds.models.guards import ModelError

__all__ = ["CacheGuard"]

#: What beam search, assisted and contrastive decoding do to a cache.
_METHODS = ("reorder_cache", "crop", "batch_repeat_interleave", "batch_select_indices")


class CacheGuard:
    """Refuses changes of the rows or the length of a cache while it is watched."""

    def __init__(self) -> None:
        self._cache: Any = None
        self._hidden: list[str] = []

    def watch(self, cache: Any) -> None:
        """Watch a cache instead of that before.

        Parameters
        ----------
        cache : object or None
            ``past_key_values`` of transformers.
        """
        if cache is self._cache:
            return
        self.release()
        self._cache = cache
        self._hidden = [name for name in _METHODS if callable(getattr(cache, name, None))]
        for name in self._hidden:
            setattr(cache, name, _refused(name))  # an attribute of the instance hides the method of the class

    def release(self) -> None:
        """Let the cache do as it likes again."""
        for name in self._hidden:
            delattr(self._cache, name)
        self._cache, self._hidden = None, []


def _refused(name: str) -> Any:
    def refuse(*_: Any, **__: Any) -> None:
        raise ModelError(
            f"generation must keep its rows in their order while routing is recorded, got {name} of the cache, as in "
            "beam search. Decode greedily or by sampling, or record a plain pass over the finished sequences."
        )

    return refuse
