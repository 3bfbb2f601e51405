"""Numbers that may predict the error of a network, and the statistics that say whether they do.

A measure proves nothing: nothing in this room is a bound on a risk, and no number here enters a certificate. The names
below load their module at their first use only.
"""

from genbounds.lazy import lazy

_HOME: dict[str, str] = {
    "ConditionalInformation": "predictiveness.conditional_information",
    "Granulated": "predictiveness.granulated",
    "Null": "predictiveness.nulls",
    "additive_prediction": "predictiveness.controls",
    "conditional_information": "predictiveness.conditional_information",
    "granulated_kendall": "predictiveness.granulated",
    "noisy_oracle": "predictiveness.controls",
    "permutation_null": "predictiveness.nulls",
    "random_measure": "predictiveness.controls",
    "tau_a": "predictiveness.kendall",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
