"""Numbers that may predict the error of a network, and the statistics that say whether they do.

A measure proves nothing: nothing in this room is a bound on a risk, and no number here enters a certificate. The names
below load their module at their first use only.
"""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "Audit": "invariance.audit",
    "Chain": "invariance.chains",
    "Change": "invariance.audit",
    "ConditionalInformation": "predictiveness.conditional_information",
    "Falsification": "falsification",
    "Granulated": "predictiveness.granulated",
    "LayerSpectrum": "records",
    "Measure": "records",
    "Measures": "records",
    "Null": "predictiveness.nulls",
    "PowerLaw": "spectra.power_law",
    "Radius": "sharpness.radii",
    "RankedMeasure": "predictiveness.ranking",
    "Ranking": "predictiveness.ranking",
    "Refusal": "records",
    "Trial": "invariance.audit",
    "Truth": "falsification",
    "WeightLayer": "weights",
    "additive_prediction": "predictiveness.controls",
    "ascent_radius": "sharpness.radii",
    "audit": "invariance.audit",
    "average_repetitions": "experiments",
    "average_sharpness": "sharpness.moves",
    "conditional_information": "predictiveness.conditional_information",
    "falsify": "falsification",
    "find_chains": "invariance.chains",
    "fit_power_law": "spectra.power_law",
    "flatness_forms": "sharpness.forms",
    "granulated_kendall": "predictiveness.granulated",
    "grid_tasks": "experiments",
    "layer_spectra": "spectra.layers",
    "marchenko_pastur_density": "spectra.marchenko_pastur",
    "marchenko_pastur_edges": "spectra.marchenko_pastur",
    "measure_network": "measurement",
    "noise_radius": "sharpness.radii",
    "noisy_oracle": "predictiveness.controls",
    "norm_measures": "norms",
    "output_measures": "outputs",
    "own_measures": "functions",
    "path_norm": "paths",
    "permutation_null": "predictiveness.nulls",
    "random_measure": "predictiveness.controls",
    "rank_measures": "predictiveness.ranking",
    "read_measures": "records",
    "read_runs": "predictiveness.ranking",
    "run_grid": "experiments",
    "score_margins": "margins",
    "sharpness_forms": "sharpness.forms",
    "sharpness_measures": "sharpness.family",
    "tau_a": "predictiveness.kendall",
    "tau_interval": "predictiveness.intervals",
    "train_and_measure": "experiments",
    "training_log_measures": "training_log",
    "weight_layers": "weights",
    "worst_sharpness": "sharpness.moves",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
