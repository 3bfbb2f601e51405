"""What a theorem may bound, in words that mean one thing: worlds know the truth of each by these names.

L_S is the average loss on the training sample and L_mu the expected loss on new data, both of what the algorithm put
out. In a supersample, n pairs of examples, one of each pair is trained on and the other is its ghost.
"""

__all__ = [
    "GAP",
    "GHOST_RISK",
    "LOG_LOSS",
    "OUTPUT_GAP",
    "REGRET",
    "RISK",
    "SQUARED_GAP",
    "SUPERSAMPLE_GAP",
    "SUPERSAMPLE_RISK",
    "SUPERSAMPLE_SQUARED_GAP",
]

#: R, or E L_mu where the predictor covered is the algorithm on average.
RISK = "risk"
#: |E[L_mu - L_S]|.
GAP = "generalization gap"
#: E[(L_mu - L_S)^2].
SQUARED_GAP = "mean squared gap"
#: |L_mu - L_S| of the one predictor that came out.
OUTPUT_GAP = "gap of the output"
#: E[L_ghost] for one given supersample; its average over supersamples is E L_mu.
SUPERSAMPLE_RISK = "supersample risk"
#: |E[L_ghost - L_train]| for one given supersample; its average over supersamples is at least |E[L_mu - L_S]|.
SUPERSAMPLE_GAP = "supersample gap"
#: E[(L_ghost - L_train)^2] for one given supersample.
SUPERSAMPLE_SQUARED_GAP = "supersample mean squared gap"
#: Average loss on the ghosts of the one supersample and mask that came out, as a Gibbs predictor's is on a sample.
GHOST_RISK = "ghost risk"
#: Expected log-loss on n examples beyond that of the true distribution, in nats.
REGRET = "regret"
#: -ln of the probability that the Bayes mixture gives to one sequence of examples, in nats.
LOG_LOSS = "log-loss of the Bayes mixture"
