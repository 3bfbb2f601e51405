"""How much information generalising takes beyond the data: exact where it can be known, and estimated where not."""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "NetworkPrior": "networks",
    "lempel_ziv_bits": "simplicity.lempel_ziv",
    "lempel_ziv_words": "simplicity.lempel_ziv",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
