"""The routes that inputs take through a mixture of experts: captured as they were executed, and measured with nulls.

Everything in this room is a measurement or an estimate. Nothing here is a bound on a risk, and no number enters a
certificate. The names below load their module, and with it torch where it is needed, at their first use only.
"""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "RoutedLayer": "routing",
    "Routing": "routing",
    "read_routing": "routing",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
