"""The assumptions that theorems rest on, as values: a claim states each of them and how it was established."""

from enum import Enum

__all__ = ["Assumption"]


class Assumption(Enum):
    """What must be true for a theorem's number to be a bound; the value is the sentence to print.

    A certificate records for each one whether it was checked by the program, declared by the user, violated,
    or is unknown. Arithmetic cannot establish any of them: they are about where the numbers came from.
    """

    IID = "The n examples are drawn independently from the distribution on which the risk is stated."
    INDEPENDENT_SAMPLE = (
        "The n examples are drawn independently; they need not share one distribution, and the risk stated is the "
        "average of their n expected losses."
    )
    LOSS_IN_UNIT_INTERVAL = "The loss lies in [0, 1] for every predictor and every example."
    ZERO_ONE_LOSS = "The loss is 0 or 1, so that the empirical risk is a number of errors divided by n."
    LOSS_HAS_LEVELS = (
        "The levels were fixed without looking at any of the n examples, no loss lies outside them, and a loss between "
        "two of them was counted as the higher one."
    )
    PRIOR_INDEPENDENT_OF_SAMPLE = "The prior was fixed without looking at any of the n examples."
    PRIORS_OF_OTHER_HALVES = (
        "The sample was cut in two halves before it was looked at, and the prior that is judged by one half was fixed "
        "without looking at any of its examples."
    )
    PREDICTOR_INDEPENDENT_OF_SAMPLE = (
        "The predictor was fixed without looking at any of the n examples: not for training, not for early "
        "stopping, not for choosing among predictors."
    )
    REFERENCE_INDEPENDENT_OF_SAMPLE = "The reference predictor was fixed without looking at any of the n examples."
    PREFIX_FREE_CODE = (
        "The code was fixed without looking at the n examples, and its lengths obey Kraft's inequality: the sum of "
        "exp(-code_length) over all predictors is at most 1."
    )
    PARAMETER_FIXED_BEFORE_SAMPLE = (
        "The theorem's own parameters, or the grid they were picked from, were fixed without looking at the n examples."
    )
    DRAWS_INDEPENDENT = (
        "The random predictors were drawn from the posterior independently of one another and of the randomness "
        "used in training."
    )
    DRAWS_FIXED_BEFORE_LOOKING = (
        "The number of draws was fixed before any of them was evaluated; nothing was repeated until it looked good."
    )
    IDEAL_RANDOMNESS = (
        "The pseudo-random generator stands for ideal randomness, and the network as evaluated in floating point is "
        "the predictor that the claim is about."
    )
    POSTERIOR_FITS_SAMPLE = "Every predictor that the posterior can draw has loss 0 on each of the n examples."
    DRAWN_FROM_CONDITIONAL_PRIOR = (
        "The predictor was drawn from the prior conditioned on the stated set of predictors, exactly, and each of that "
        "set has loss 0 on each of the n examples."
    )
    STATE_INDEPENDENT_OF_SAMPLE = (
        "Buffers, normalisation statistics and the preprocessing of inputs did not see the n examples, and no random "
        "augmentation acts on them."
    )
    DETERMINISTIC_EVALUATION = (
        "A predictor gives the same output for the same input each time, whatever else is in its batch."
    )
    PREDICTABLE_WEIGHTS = (
        "The examples were weighed in the order in which they came, each by a weight that was fixed before it was seen."
    )
    SUBSAMPLE_AFTER_PREDICTOR = (
        "The examples on which the risk was estimated were drawn uniformly from the sample, with or without "
        "replacement, after the predictor was fixed and by randomness of their own; their number was fixed before, and "
        "none was drawn again or exchanged."
    )
    TOKENS_IN_ORDER = (
        "The tokens stand in the order in which they came about, and their number was fixed before; the loss at each "
        "position depends on the predictor and on the tokens up to that position alone."
    )
    HOMOGENEOUS_NETWORK = (
        "The network alternates matrices without biases and activations on single coordinates that are 1-Lipschitz and "
        "positively homogeneous, such as ReLU; its depth and width were fixed without looking at the n examples."
    )
    INPUTS_BOUNDED = "No input that the distribution can yield has a Euclidean norm above the stated one."
    LOSS_SUB_GAUSSIAN = (
        "The loss on a fresh example, less its mean, is sub-Gaussian with parameter sigma: for every fixed predictor, "
        "or for the algorithm's output together with an example that is independent of it."
    )
    LOSS_CUMULANTS = (
        "With l the loss on a fresh example and m its mean, ln E exp(t (m - l)) and ln E exp(-t (m - l)) are at most "
        "the stated values at the stated rates t: for every fixed predictor, or for the algorithm's output together "
        "with an example that is independent of it."
    )
    LOSS_LIPSCHITZ = (
        "On every example the loss is Lipschitz in the predictor, with the stated constant and in the metric in which "
        "the distances passed were measured."
    )
    INFORMATION_NOT_ESTIMATED = (
        "The information, distance or moment passed is that of this algorithm on this distribution at this sample "
        "size, or an upper bound of it; an estimate from runs is neither."
    )
    GAUSSIAN_STEPS = (
        "Training started from weights that did not see the sample, by steps whose sizes were fixed in advance. Each "
        "added Gaussian noise of the stated standard deviation to every weight, drawn independently of the sample, the "
        "batches and the noise of other steps, and nothing else changed the weights."
    )
    BATCHES_INDEPENDENT_OF_SAMPLE = (
        "Which examples make up the batch of which step was decided without looking at what is in them."
    )
    EXAMPLES_ACT_IN_THEIR_BATCH = (
        "A step moves the weights along the average over its batch of vectors that depend on one example each, on the "
        "weights so far and on which examples are in which batch: no momentum, no clipping of the average."
    )
    UNIFORM_BATCHES = (
        "The batch of each step is the whole sample, or was drawn from it uniformly and without replacement, whatever "
        "batches came before."
    )
    DISJOINT_BATCHES = "The sample was cut into batches that share no example, and each step used one of them."
    NOISELESS_STEPS = (
        "Training started from weights that did not see the sample, by steps whose sizes were fixed in advance and "
        "without added noise. The virtual noise is not added to the weights that are used: it is a device of the "
        "proof, of scales fixed in advance and independent of everything."
    )
    GIBBS_ALGORITHM = (
        "The output was drawn from the law that is proportional to a prior, fixed without looking at the n examples, "
        "times exp(-inverse temperature * average loss on them), exactly and in the loss that the gap is one of."
    )
    IID_SUPERSAMPLE = (
        "All 2n examples of the supersample are drawn independently from the distribution on which the risk is stated."
    )
    FAIR_MASK = (
        "Which example of each pair is trained on was decided by a fair coin of its own, independent of the pairs and "
        "of everything else."
    )
    GHOSTS_UNSEEN = (
        "What the algorithm puts out depends on the examples that it is trained on and on randomness of its own, and "
        "on nothing else of the supersample."
    )
    LEFT_OUT_UNIFORMLY = (
        "Which of the n + 1 examples is left out was decided uniformly at random, independent of the examples and of "
        "everything else."
    )
    LOSS_DIFFERENCES_BOUNDED = (
        "The losses of any one predictor on the two examples of a pair differ by no more than the range that was "
        "squared and averaged."
    )
    PRIOR_INDEPENDENT_OF_MASK = (
        "The prior was fixed without looking at which example of each pair is trained on; it may depend on the pairs."
    )
    LOSS_OF_OUTPUT = "The loss depends on an example through the network's output on it and its label alone."
    FRESH_NOISE = (
        "Whatever noise the network has is on when its risks are measured: every input, of the sample and new, meets "
        "noise of its own, independent of the sample, of the weights and of the noise in training."
    )
    NETWORK_LIPSCHITZ = (
        "The loss is Lipschitz in output and label, and the remaining layers are in their input, with the stated "
        "constants and in the metric of the distances passed, for all weights and every value of the noise."
    )
    CONTRACTION_FOR_ALL_WEIGHTS = (
        "The contraction coefficient is one of the network's noise, for all weights that the algorithm can put out and "
        "all laws of what goes into the noisy layers."
    )
    CHAIN_OF_PARTITIONS = (
        "The partitions of the hypotheses, and a representative of each cell, were fixed without looking at the n "
        "examples; each partition refines the one before, the last has single hypotheses; and the loss of one "
        "hypothesis less that of another, on a fresh example and less its mean, is sub-Gaussian with their distance as "
        "parameter."
    )
    SLICE_INDEPENDENT_OF_SAMPLE = (
        "What the information is conditional on, such as a random subspace and a quantiser, was drawn independently of "
        "the n examples."
    )
