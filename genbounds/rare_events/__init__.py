"""The probability that a loss is small, where counting would never see it: exact where it can be known, or sampled.

Everything is a curve over levels of the loss, of -ln P(loss <= level) in nats, with its interval.
"""

from genbounds.lazy import lazy

_HOME = {
    "Agreement": "agreement",
    "ConditionalAgreement": "agreement",
    "ConditionalTail": "curves",
    "LogMean": "log_means",
    "QuadraticForm": "quadratic.forms",
    "TailCurve": "curves",
    "annealed_importance": "annealing",
    "chain_tail": "chains",
    "counted_conditional_tail": "counting",
    "counted_tail": "counting",
    "effective_samples": "chains",
    "log_mean": "log_means",
    "log_mean_lower_limit": "lower_limits",
    "orthant_log_weights": "orthants",
    "published_chi_squared_fit": "quadratic.chi_squared_fit",
    "quadratic_tail": "quadratic.tails",
    "ruben_tail": "quadratic.ruben",
    "saddlepoint_nats": "quadratic.saddlepoint",
    "sampled_tail": "sampling",
    "small_ball": "quadratic.small_ball",
    "split_r_hat": "chains",
    "subset_simulation": "subsets",
    "tilted_tail": "quadratic.tilting",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
