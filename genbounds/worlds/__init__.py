"""Learning problems whose truth is exact, and attacks on theorems in them.

`genbounds.worlds.strategies` holds random worlds for hypothesis; it is imported only where it is used.
"""

from genbounds.worlds.attack import attack
from genbounds.worlds.attacks import WORLDS, attacks
from genbounds.worlds.augmented_mixture import AugmentedMixture, AugmentedMixtureDraw
from genbounds.worlds.batteries.closed_forms import (
    absolute_problem,
    hinge_problem,
    network_problem,
    path_problem,
    points_problem,
    squared_problem,
)
from genbounds.worlds.batteries.descriptions import (
    coin_problem,
    copying_problem,
    forgetting_problem,
    quantised_problem,
    scales_problem,
    sequences_problem,
    subspaces_problem,
)
from genbounds.worlds.batteries.finite import opposed_pairs, seen_points
from genbounds.worlds.batteries.loss_dependence import loss_dependence_problem, torn_memoriser
from genbounds.worlds.batteries.noisy_bits import random_batches_problem
from genbounds.worlds.batteries.noisy_networks import flipped_bit, random_network
from genbounds.worlds.bernoulli_universality import BernoulliUniversality
from genbounds.worlds.enumeration import count_vectors, multinomial_law, poisson_binomial_law
from genbounds.worlds.failures import (
    Attack,
    composed_attack,
    fresh_draws_attack,
    gibbs_attack,
    hypothesis_attack,
    shared_draws_attack,
)
from genbounds.worlds.finite import FiniteWorld, classification, coins, lone_predictor, shattered_points
from genbounds.worlds.finite_problems import leave_one_out_problem, sample_problem, supersample_problem
from genbounds.worlds.gaussian_mean import GaussianMean, NoisyGaussianMean
from genbounds.worlds.gibbs_gaussian import GibbsGaussian
from genbounds.worlds.gibbs_points import GibbsPoints
from genbounds.worlds.gradient_flow import GradientFlow, GradientFlowDraw
from genbounds.worlds.gradient_regression import GaussianRegression
from genbounds.worlds.gradient_softmax import SoftmaxHead
from genbounds.worlds.gradient_stiffness import cosine_stiffness, sign_stiffness
from genbounds.worlds.gradient_worlds import FiniteGradients, GaussianGradients, GradientWorld
from genbounds.worlds.label_copying import LabelCopier, LabelMemoriser
from genbounds.worlds.langevin import LangevinQuadratic
from genbounds.worlds.learners import (
    Gibbs,
    Learner,
    blurred,
    constant,
    erm,
    first_erm,
    gap_seeking,
    memoriser,
    tabulated,
)
from genbounds.worlds.leave_one_out import LeaveOneOutLearning
from genbounds.worlds.linear_gaussian import LinearGaussian
from genbounds.worlds.linear_network import BinaryGaussianLinearNetwork
from genbounds.worlds.linear_prediction import bayes_in_context, least_squares_excess
from genbounds.worlds.masked_cube import MaskedCube
from genbounds.worlds.mirrored_noise import MirroredDraw, MirroredNoise
from genbounds.worlds.noisy_bits import NoisyBits
from genbounds.worlds.noisy_networks import NoisyNetwork, label_memoriser, majority_label
from genbounds.worlds.output_gaps import output_gap_attack
from genbounds.worlds.posteriors import adversarial_posteriors, gibbs_posteriors, kl_divergence
from genbounds.worlds.problems import PROBLEMS, Problem, problem_attack
from genbounds.worlds.processes import process_attack
from genbounds.worlds.quadratic_bowl import QuadraticBowl
from genbounds.worlds.realisable import conditional_draw_attack, fitting_posteriors_attack, own_regions
from genbounds.worlds.samples import Learning
from genbounds.worlds.single_draws import renyi_attack, single_draw_attack
from genbounds.worlds.subsamples import subsample_attack
from genbounds.worlds.supersamples import SupersampleLearning
from genbounds.worlds.twin_worlds import LinearMapTwins, ShatteredDraw, ShatteredTwins
from genbounds.worlds.validation import Finding, ranks, validate
from genbounds.worlds.votes import memorised_coins_attack, vote_attack
from genbounds.worlds.xor_clusters import XorClusters, XorSample, XorTraining

__all__ = [
    "PROBLEMS",
    "WORLDS",
    "Attack",
    "AugmentedMixture",
    "AugmentedMixtureDraw",
    "BernoulliUniversality",
    "BinaryGaussianLinearNetwork",
    "Finding",
    "FiniteGradients",
    "FiniteWorld",
    "GaussianGradients",
    "GaussianMean",
    "GaussianRegression",
    "Gibbs",
    "GibbsGaussian",
    "GibbsPoints",
    "GradientFlow",
    "GradientFlowDraw",
    "GradientWorld",
    "LabelCopier",
    "LabelMemoriser",
    "LangevinQuadratic",
    "Learner",
    "Learning",
    "LeaveOneOutLearning",
    "LinearGaussian",
    "LinearMapTwins",
    "MaskedCube",
    "MirroredDraw",
    "MirroredNoise",
    "NoisyBits",
    "NoisyGaussianMean",
    "NoisyNetwork",
    "Problem",
    "QuadraticBowl",
    "ShatteredDraw",
    "ShatteredTwins",
    "SoftmaxHead",
    "SupersampleLearning",
    "XorClusters",
    "XorSample",
    "XorTraining",
    "absolute_problem",
    "adversarial_posteriors",
    "attack",
    "attacks",
    "bayes_in_context",
    "blurred",
    "classification",
    "coin_problem",
    "coins",
    "composed_attack",
    "conditional_draw_attack",
    "constant",
    "copying_problem",
    "cosine_stiffness",
    "count_vectors",
    "erm",
    "first_erm",
    "fitting_posteriors_attack",
    "flipped_bit",
    "forgetting_problem",
    "fresh_draws_attack",
    "gap_seeking",
    "gibbs_attack",
    "gibbs_posteriors",
    "hinge_problem",
    "hypothesis_attack",
    "kl_divergence",
    "label_memoriser",
    "least_squares_excess",
    "leave_one_out_problem",
    "lone_predictor",
    "loss_dependence_problem",
    "majority_label",
    "memorised_coins_attack",
    "memoriser",
    "multinomial_law",
    "network_problem",
    "opposed_pairs",
    "output_gap_attack",
    "own_regions",
    "path_problem",
    "points_problem",
    "poisson_binomial_law",
    "problem_attack",
    "process_attack",
    "quantised_problem",
    "random_batches_problem",
    "random_network",
    "ranks",
    "renyi_attack",
    "sample_problem",
    "scales_problem",
    "seen_points",
    "sequences_problem",
    "shared_draws_attack",
    "shattered_points",
    "sign_stiffness",
    "single_draw_attack",
    "squared_problem",
    "subsample_attack",
    "subspaces_problem",
    "supersample_problem",
    "tabulated",
    "torn_memoriser",
    "validate",
    "vote_attack",
]
