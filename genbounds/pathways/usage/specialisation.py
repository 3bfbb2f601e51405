r"""Which experts serve which domain.

Domain specialisation [Muennighoff2024OLMoE] is ``N_ED / N_D``, the share of the domain's tokens for which expert E is
executed. Rows sum to k (to the mean number of executed experts, where capacity is limited), so that k/K is what no
preference at all would show.

One number for a layer is the mutual information, in nats, between the domain and the expert of an assignment drawn
uniformly. The plug-in is too large, the more so as tokens of one sample agree: the jackknife over samples takes the
bias of order 1/n off, and the null permutes the domains of whole samples, which is exact for samples that are
independent and alike. Both are estimates; near 0 the p-value is to be trusted, not the interval. That experts serve
domains differently does not say that they do so for the domain's sake: lengths and positions differ between domains as
well.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genbounds.numerics.checks import confidence, count
from genbounds.numerics.discrete_information import mutual_information
from genbounds.pathways.labels import label_codes
from genbounds.pathways.routing import Routing
from genbounds.pathways.usage.clusters import LEVEL, entropy, jackknife_error, normal_ends, ratio, without_bias
from genbounds.pathways.usage.pairings import against
from genbounds.pathways.usage.records import UsageRecord

__all__ = ["DomainSpecialisation", "LayerSpecialisation", "domain_specialisation"]


@dataclass(frozen=True)
class LayerSpecialisation:
    """Which experts of a layer serve which domain.

    Attributes
    ----------
    name, number : str, int
        Of the layer.
    shares, standard_errors : tuple of tuple of float
        For each domain and expert, the share of the domain's tokens that execute it, and its standard error over
        samples: NaN for a domain of one sample.
    baseline : float
        k/K.
    plug_in : float
        Mutual information of domain and expert, of the empirical law.
    information, standard_error : float
        The jackknife's estimate, which may be negative, and its standard error over samples.
    level : float
        Nominal confidence of `interval`.
    null_mean, null_deviation : float
        Of the plug-in, where the domains of samples are permuted.
    z, p_value : float
        Of the plug-in against it, large values counting.
    """

    name: str
    number: int
    shares: tuple[tuple[float, ...], ...]
    standard_errors: tuple[tuple[float, ...], ...]
    baseline: float
    plug_in: float
    information: float
    standard_error: float
    level: float
    null_mean: float
    null_deviation: float
    z: float
    p_value: float

    @property
    def interval(self) -> tuple[float, float]:
        """Normal interval of `information`: nominal, and not to be trusted near 0."""
        return normal_ends(self.information, self.standard_error, self.level)


@dataclass(frozen=True)
class DomainSpecialisation(UsageRecord):
    """Which experts serve which domain, in all layers.

    Attributes
    ----------
    domains : tuple of str
        In sorted order; rows of `LayerSpecialisation.shares`.
    samples : tuple of int
        Samples of each domain.
    tokens : int
        What was seen.
    permutations : int
        Draws of the null.
    layers : tuple of LayerSpecialisation
        In the order of execution.
    """

    domains: tuple[str, ...]
    samples: tuple[int, ...]
    tokens: int
    permutations: int
    layers: tuple[LayerSpecialisation, ...]


def domain_specialisation(
    routing: Routing, domains: ArrayLike, *, permutations: int = 199, level: float = 0.95, seed: int = 0
) -> DomainSpecialisation:
    """Measure which experts serve which domain.

    Parameters
    ----------
    routing : Routing
        What was captured; tokens need not have been kept.
    domains : array_like, shape (n,)
        A label for each sample; two domains or more.
    permutations : int
        Draws of the null.
    level : float
        Nominal confidence of intervals, in (0, 1).
    seed : int
        Of the permutations.

    Returns
    -------
    DomainSpecialisation
        Shares by domain and expert, and an information for each layer.

    Raises
    ------
    ValueError
        If there is not a label for each sample, one is missing, or all are the same.
    """
    confidence("level", level, LEVEL)
    names, domain = label_codes("domains", domains, len(routing))
    if len(names) < 2:
        raise ValueError(f"domains must be two or more, got only {str(names[0])!r}. Pass labels that differ.")
    member = np.eye(len(names))[domain]  # (n, D)
    counts = [layer.counts.astype(np.float64) for layer in routing.layers]
    rng = np.random.default_rng(int(count("seed", seed, 0)))
    drawn = np.empty((int(count("permutations", permutations)), len(counts)))
    for row in drawn:
        moved = member[rng.permutation(len(member))]
        row[:] = [_plug_in(moved, table) for table in counts]
    layers = []
    for layer, table, under_null in zip(routing.layers, counts, drawn.T, strict=True):
        parts = [ratio(table[domain == d], routing.lengths[domain == d, None]) for d in range(len(names))]
        observed = _plug_in(member, table)
        left_out = _without_each(layer.counts, domain)
        mean, deviation, score, p_value = against(observed, under_null)
        layers.append(
            LayerSpecialisation(
                name=layer.name,
                number=layer.number,
                shares=tuple(tuple(share.tolist()) for share, _ in parts),
                standard_errors=tuple(tuple(error.tolist()) for _, error in parts),
                baseline=float(table.sum() / routing.tokens / layer.experts),
                plug_in=observed,
                information=without_bias(observed, left_out),
                standard_error=float(jackknife_error(left_out)),
                level=level,
                null_mean=mean,
                null_deviation=deviation,
                z=score,
                p_value=p_value,
            )
        )
    sizes = tuple(np.bincount(domain).tolist())
    return DomainSpecialisation(tuple(map(str, names)), sizes, routing.tokens, len(drawn), tuple(layers))


def _plug_in(member: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Return the mutual information of domain and expert of a random assignment."""
    table = member.T @ counts
    return float(mutual_information(table / table.sum()))


def _without_each(counts: NDArray[np.int64], domain: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the plug-in information without each sample."""
    owner, expert = np.nonzero(counts)
    inside, mine = counts[owner, expert], domain[owner]
    n = len(domain)
    one, two, both = (entropy(owner, s, inside, n)[1] for s in (mine, expert, mine * counts.shape[1] + expert))
    return one + two - both
