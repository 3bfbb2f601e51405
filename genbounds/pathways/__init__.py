"""The routes that inputs take through a mixture of experts: captured as they were executed, and measured with nulls.

Everything in this room is a measurement or an estimate. Nothing here is a bound on a risk, and no number enters a
certificate. The names below load their module, and with it torch where it is needed, at their first use only.
"""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "GroupDistances": "distance_records",
    "IndependentRouting": "nulls.load_balance",
    "LoadBalance": "nulls.load_balance",
    "PathwayDistance": "distance_records",
    "ShuffledNull": "nulls.shuffled",
    "ShuffledStatistic": "nulls.shuffled",
    "independent_routing": "nulls.load_balance",
    "load_balance": "nulls.load_balance",
    "pathway_distance": "mean_distance",
    "shuffled_null": "nulls.shuffled",
    "CoActivation": "usage.coactivation",
    "CrossLayerInformation": "usage.cross_layer",
    "DomainSpecialisation": "usage.specialisation",
    "ExpertLoad": "usage.load",
    "PathConcentration": "usage.concentration",
    "Paths": "paths",
    "RoutedLayer": "routing",
    "RouterCall": "capture.routers",
    "Routing": "routing",
    "Saturation": "usage.saturation",
    "VocabularySpecialisation": "usage.vocabulary",
    "capture_routing": "capture.measurement",
    "coactivation": "usage.coactivation",
    "coactivation_matrix": "usage.coactivation",
    "cross_layer_information": "usage.cross_layer",
    "cumulative_paths": "paths",
    "distance_blocks": "distances.matrix",
    "distance_matrix": "distances.matrix",
    "distance_warnings": "distances.measures",
    "distances_of_pairs": "distances.matrix",
    "domain_specialisation": "usage.specialisation",
    "expert_load": "usage.load",
    "literal_strings": "paths",
    "memorisation_times": "memorised",
    "memorised_groups": "memorised",
    "path_concentration": "usage.concentration",
    "read_routing": "routing",
    "record_routing": "capture.recorder",
    "saturation": "usage.saturation",
    "share_before_last": "memorised",
    "threshold_for_share": "memorised",
    "token_paths": "paths",
    "top_paths": "paths",
    "vocabulary_specialisation": "usage.vocabulary",
    "GrokkingMeasures": "grokking.measures",
    "Mixture": "grokking.mixture",
    "ModularAddition": "grokking.modular",
    "grokking_measures": "grokking.measures",
    "modular_addition": "grokking.modular",
    "train_mixture": "grokking.training",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
