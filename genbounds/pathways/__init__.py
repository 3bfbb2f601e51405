"""The routes that inputs take through a mixture of experts: captured as they were executed, and measured with nulls.

Everything in this room is a measurement or an estimate. Nothing here is a bound on a risk, and no number enters a
certificate. The names below load their module, and with it torch where it is needed, at their first use only.
"""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "RouterCall": "capture.routers",
    "capture_routing": "capture.measurement",
    "record_routing": "capture.recorder",
    "Paths": "paths",
    "RoutedLayer": "routing",
    "Routing": "routing",
    "cumulative_paths": "paths",
    "distance_blocks": "distances.matrix",
    "distance_matrix": "distances.matrix",
    "distance_warnings": "distances.measures",
    "distances_of_pairs": "distances.matrix",
    "literal_strings": "paths",
    "read_routing": "routing",
    "token_paths": "paths",
    "top_paths": "paths",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
