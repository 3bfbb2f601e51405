"""The probability that a loss is small, where counting would never see it: exact where it can be known, or sampled.

Everything is a curve over levels of the loss, of -ln P(loss <= level) in nats, with its interval.
"""

from genbounds.lazy import lazy

_HOME = {
    "Agreement": "agreement",
    "ConditionalAgreement": "agreement",
    "ConditionalTail": "curves",
    "LogMean": "averages.log_means",
    "QuadraticForm": "quadratic.forms",
    "TailCurve": "curves",
    "annealed_importance": "tempering.annealed_importance",
    "chain_tail": "markov_chains.effective_samples",
    "counted_conditional_tail": "counting",
    "counted_tail": "counting",
    "effective_samples": "markov_chains.effective_samples",
    "log_mean": "averages.log_means",
    "log_mean_lower_limit": "averages.lower_limits",
    "orthant_log_weights": "averages.orthants",
    "published_chi_squared_fit": "quadratic.chi_squared_fit",
    "quadratic_tail": "quadratic.tails",
    "ruben_tail": "quadratic.ruben",
    "saddlepoint_nats": "quadratic.saddlepoint",
    "sampled_tail": "sampling",
    "small_ball": "quadratic.small_ball",
    "split_r_hat": "markov_chains.effective_samples",
    "subset_simulation": "splitting.subset_simulation",
    "tilted_tail": "quadratic.tilting",
}

__all__ = sorted(_HOME)
__getattr__, __dir__ = lazy(__name__, _HOME)
