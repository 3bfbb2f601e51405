"""Numbers that may predict the error of a network, and the statistics that say whether they do.

A measure proves nothing: nothing in this room is a bound on a risk, and no number here enters a certificate. The names
below load their module at their first use only.
"""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "ConditionalInformation": "predictiveness.conditional_information",
    "Granulated": "predictiveness.granulated",
    "LayerSpectrum": "records",
    "Measure": "records",
    "Measures": "records",
    "Null": "predictiveness.nulls",
    "PowerLaw": "spectra.power_law",
    "PowerRow": "predictiveness.power",
    "RankedMeasure": "predictiveness.ranking",
    "Ranking": "predictiveness.ranking",
    "Refusal": "records",
    "RobustFit": "predictiveness.robust_regression",
    "SignErrors": "predictiveness.environments",
    "WeightLayer": "weights",
    "additive_prediction": "predictiveness.controls",
    "conditional_information": "predictiveness.conditional_information",
    "detection_power": "predictiveness.power",
    "fit_power_law": "spectra.power_law",
    "granulated_kendall": "predictiveness.granulated",
    "grid_tasks": "experiments",
    "layer_spectra": "spectra.layers",
    "marchenko_pastur_density": "spectra.marchenko_pastur",
    "marchenko_pastur_edges": "spectra.marchenko_pastur",
    "measure_network": "measurement",
    "noisy_oracle": "predictiveness.controls",
    "norm_measures": "norms",
    "pair_weights": "predictiveness.environments",
    "path_norm": "paths",
    "permutation_null": "predictiveness.nulls",
    "psi_interval": "predictiveness.intervals",
    "random_measure": "predictiveness.controls",
    "rank_measures": "predictiveness.ranking",
    "read_measures": "records",
    "read_runs": "predictiveness.ranking",
    "robust_regression": "predictiveness.robust_regression",
    "run_grid": "experiments",
    "score_margins": "margins",
    "sign_errors": "predictiveness.environments",
    "tau_a": "predictiveness.kendall",
    "tau_interval": "predictiveness.intervals",
    "train_and_measure": "experiments",
    "weight_layers": "weights",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
