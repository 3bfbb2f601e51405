"""How far the gradients of single examples agree: measured exactly, with what is and is not known of it.

Everything in this room is a measurement or an estimate. Nothing here is a bound on a risk, and no number enters a
certificate. The names below load their module, and with it torch where it is needed, at their first use only.
"""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "Alignment": "alignment",
    "Coherence": "records",
    "CoherenceMonitor": "training.monitor",
    "CoherenceSeries": "training.series_records",
    "Confusion": "pairs.confusion",
    "CoordinateMoments": "moments",
    "DistanceProfile": "pairs.input_distance",
    "Gram": "pairs.gram",
    "GramSpectrum": "pairs.spectrum",
    "HessianAlignment": "curvature.head_alignment",
    "Influence": "curvature.influence_records",
    "LayerCoherence": "layer_records",
    "Measured": "training.series_records",
    "PreconditionedCoherence": "preconditioned_records",
    "Preconditioner": "kronecker_factors",
    "RollingMedian": "robust_descent",
    "SignalToNoise": "signal_to_noise",
    "StabilityDiagnostic": "training.stability",
    "Stiffness": "pairs.stiffness",
    "coherence_series": "training.series",
    "confusion": "pairs.confusion",
    "coordinate_moments": "moments",
    "distance_profile": "pairs.input_distance",
    "fit_preconditioner": "kronecker_factors",
    "gram_matrix": "pairs.gram_blocks",
    "gram_spectrum": "pairs.spectrum",
    "hessian_alignment": "curvature.head_alignment",
    "hessian_gradient_penalty": "curvature.alignment_penalty",
    "hold": "training.stability",
    "influence": "curvature.influence",
    "input_distances": "pairs.gram_blocks",
    "measure": "measurement",
    "median_gradients": "robust_descent",
    "preconditioned_coherence": "preconditioning",
    "read_series": "training.series_records",
    "stability_by_coherence": "training.stability",
    "stability_by_noise": "training.stability",
    "stiffness": "pairs.stiffness",
    "winsorised_gradients": "winsorised",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
