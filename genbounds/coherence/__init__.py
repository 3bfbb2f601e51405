"""How far the gradients of single examples agree: measured exactly, with what is and is not known of it.

Everything in this room is a measurement or an estimate. Nothing here is a bound on a risk, and no number enters a
certificate. The names below load their module, and with it torch where it is needed, at their first use only.
"""

from importlib import import_module
from typing import Any

_HOME: dict[str, str] = {
    "Alignment": "alignment",
    "Coherence": "records",
    "CoherenceMonitor": "monitor",
    "CoherenceSeries": "series_records",
    "Confusion": "gradient_confusion",
    "CoordinateMoments": "moments",
    "DistanceProfile": "input_distance",
    "Gram": "gram",
    "GramSpectrum": "spectrum",
    "HessianAlignment": "head_alignment",
    "Influence": "influence_records",
    "LayerCoherence": "records",
    "Measured": "series_records",
    "PreconditionedCoherence": "preconditioning",
    "Preconditioner": "kronecker_factors",
    "RollingMedian": "robust_descent",
    "SignalToNoise": "signal_to_noise",
    "StabilityDiagnostic": "stability",
    "Stiffness": "pairwise",
    "coherence_series": "series",
    "confusion": "gradient_confusion",
    "coordinate_moments": "moments",
    "distance_profile": "input_distance",
    "fit_preconditioner": "kronecker_factors",
    "gram_matrix": "gram_blocks",
    "gram_spectrum": "spectrum",
    "hessian_alignment": "head_alignment",
    "hessian_gradient_penalty": "alignment_penalty",
    "hold": "stability",
    "influence": "influence_functions",
    "input_distances": "gram_blocks",
    "measure": "measurement",
    "median_gradients": "robust_descent",
    "preconditioned_coherence": "preconditioning",
    "read_series": "series_records",
    "stability_by_coherence": "stability",
    "stability_by_noise": "stability",
    "stiffness": "pairwise",
    "winsorised_gradients": "winsorised",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`, once it is asked for.

    Parameters
    ----------
    name : str
        A name of the table above.

    Returns
    -------
    object
        What the module calls by that name.

    Raises
    ------
    AttributeError
        If the table does not have it.
    """
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """List the public names.

    Returns
    -------
    list of str
        The table above.
    """
    return sorted(_HOME)
