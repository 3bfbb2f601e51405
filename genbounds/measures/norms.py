r"""Norms of weight matrices: the measures of [Jiang2020]_ that need weights alone, and the margin.

With matrices W_1 to W_d (kernels flattened to outputs x inputs k^2; biases left out), initial ones W_i^0, and margin
gamma. Everything of the form of a product is given as its natural logarithm, which cannot overflow. Division by the
number of training examples, sqrt(mu / m), is left to whoever ranks: it decides rankings, and should be seen to.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from genbounds.measures.records import Measure, Measures, Refusal
from genbounds.measures.weights import WeightLayer
from genbounds.models.guards import ModelError
from genbounds.numerics.checks import finite

__all__ = ["norm_measures"]


def norm_measures(
    layers: Iterable[WeightLayer],
    initial: Iterable[WeightLayer] | None = None,
    *,
    margin: float | None = None,
) -> Measures:
    r"""Compute eqs. 20, 22 and 29 to 42 of [Jiang2020]_ from weight matrices.

    Parameters
    ----------
    layers : iterable of WeightLayer
        Those of the trained network (`weight_layers`), read once.
    initial : iterable of WeightLayer, optional
        Those of the same network before training. Without them the distances are refused.
    margin : float, optional
        gamma > 0: in the paper the 10th percentile over the training examples of the score of the right class minus the
        largest other. A margin that is not positive is refused where it divides, not taken by its modulus: the network
        errs on a tenth of its training examples, and the formulas say nothing of it.

    Returns
    -------
    Measures
        ``parameters`` (20), sum of k^2 c_out (c_in + 1); ``log_inverse_margin`` (22), -2 ln gamma;
        ``log_spec_init_main`` (29) and ``log_spec_orig_main`` (30), ln of prod |W|_2^2 sum_j |W_j - W_j^0|_F^2 (or
        |W_j|_F^2) / |W_j|_2^2 / gamma^2; ``log_prod_of_spec_over_margin`` (31) and ``log_prod_of_spec`` (32);
        ``fro_over_spec`` (33), the sum of stable ranks; ``log_sum_of_spec_over_margin`` (34) and ``log_sum_of_spec``
        (35), ln of d (prod |W|_2^2 [/ gamma^2])^(1/d); the same four with Frobenius norms (36 to 39);
        ``fro_dist`` (40), ``dist_spec_init`` (41), ``parameter_norm`` (42), sums of squares.

    Raises
    ------
    ModelError
        If initial and trained matrices differ in names or shapes, or a number overflows.

    Examples
    --------
    >>> from torch import nn
    >>> from genbounds.measures import weight_layers
    >>> found = norm_measures(weight_layers({"one": torch.eye(3), "two": 2 * torch.eye(3)}))
    >>> round(found["fro_over_spec"], 6), round(found["log_prod_of_spec"], 6)
    (6.0, 1.386294)
    """
    before = None if initial is None else list(initial)
    rows = list(_norms(layers, before))
    if not rows:
        raise ModelError("layers must hold at least one matrix, got none. Pass weight_layers(model) anew.")
    parameters, spectral, frobenius, moved, moved_spectral = (list(column) for column in zip(*rows, strict=True))
    found = list(_products(spectral, frobenius, moved if before is not None else None, margin))
    found.append(Measure("parameters", float(sum(parameters)), "20"))
    found.append(Measure("parameter_norm", math.fsum(f * f for f in frobenius), "42"))
    if before is None:
        reason = "it needs the weights before training: pass initial"
        found += [Refusal("fro_dist", reason), Refusal("dist_spec_init", reason)]
    else:
        found.append(Measure("fro_dist", math.fsum(f * f for f in moved), "40"))
        found.append(Measure("dist_spec_init", math.fsum(f * f for f in moved_spectral), "41"))
    measured = tuple(each for each in found if isinstance(each, Measure))
    for each in measured:
        finite(each.name, each.value, "The weights are too large or too small to be squared in float64.")
    return Measures(measured, tuple(each for each in found if isinstance(each, Refusal)))


def _norms(
    layers: Iterable[WeightLayer], initial: list[WeightLayer] | None
) -> Iterator[tuple[int, float, float, float, float]]:
    """Yield parameters, |W|_2, |W|_F, |W - W0|_F and |W - W0|_2 of each layer; the last two NaN without W0."""
    others = iter(initial) if initial is not None else None
    for layer in layers:
        matrix = layer.matrix
        difference = math.nan, math.nan
        if others is not None:
            other = next(others, None)
            if other is None or (other.name, other.matrix.shape) != (layer.name, matrix.shape):
                got = "nothing" if other is None else f"{other.name} of shape {tuple(other.matrix.shape)}"
                raise ModelError(
                    f"initial must hold the same matrices as layers, got {got} for {layer.name} of shape "
                    f"{tuple(matrix.shape)}. Take the checkpoint from before this training."
                )
            moved = matrix - other.matrix.to(matrix)
            difference = float(torch.linalg.matrix_norm(moved)), _spectral(moved)
        parameters = len(matrix) * (matrix.shape[1] + layer.places)
        yield parameters, _spectral(matrix), float(torch.linalg.matrix_norm(matrix)), *difference
    if others is not None and (left := next(others, None)) is not None:
        raise ModelError(f"initial must hold the same matrices as layers, got {left.name} besides. Leave it out.")


def _spectral(matrix: Tensor) -> float:
    return float(torch.linalg.svdvals(matrix).max())


def _products(
    spectral: list[float], frobenius: list[float], moved: list[float] | None, margin: float | None
) -> Iterator[Measure | Refusal]:
    """Yield everything that a layer of zeros, or a margin that is not positive, makes meaningless."""
    depth = len(spectral)
    inverse: float | None = None  # ln of 1 / gamma^2
    reason = "it needs the margin on the training examples: pass margin"
    if margin is not None:
        gamma = float(finite("margin", margin))
        reason = f"it needs a positive margin, got {gamma:.3g}: too many training examples are misclassified"
        inverse = -2 * math.log(gamma) if gamma > 0 else None
    dead = min(spectral) == 0
    zero = "it divides by, or takes the logarithm of, a layer's norm, and a layer is all zeros"

    def over_margin(name: str, value: float, equation: str) -> Measure | Refusal:
        return Refusal(name, reason) if inverse is None else Measure(name, value + inverse, equation)

    yield over_margin("log_inverse_margin", 0.0, "22")
    names = {"spec": (spectral, "31", "32", "34", "35"), "fro": (frobenius, "36", "37", "38", "39")}
    for kind, (norms, over, plain, sum_over, sum_plain) in names.items():
        if dead:
            for name in ("prod", "sum"):
                yield Refusal(f"log_{name}_of_{kind}_over_margin", zero)
                yield Refusal(f"log_{name}_of_{kind}", zero)
            continue
        product = 2 * math.fsum(math.log(norm) for norm in norms)
        yield over_margin(f"log_prod_of_{kind}_over_margin", product, over)
        yield Measure(f"log_prod_of_{kind}", product, plain)
        name = f"log_sum_of_{kind}_over_margin"
        if inverse is None:
            yield Refusal(name, reason)
        else:
            yield Measure(name, math.log(depth) + (product + inverse) / depth, sum_over)
        yield Measure(f"log_sum_of_{kind}", math.log(depth) + product / depth, sum_plain)
    if dead:
        yield from (Refusal(name, zero) for name in ("log_spec_init_main", "log_spec_orig_main", "fro_over_spec"))
        return
    product = 2 * math.fsum(math.log(norm) for norm in spectral)
    ranks = math.fsum((f / s) ** 2 for f, s in zip(frobenius, spectral, strict=True))
    yield Measure("fro_over_spec", ranks, "33")
    yield over_margin("log_spec_orig_main", product + math.log(ranks), "30")
    if moved is None:
        yield Refusal("log_spec_init_main", "it needs the weights before training: pass initial")
        return
    distance = math.fsum((f / s) ** 2 for f, s in zip(moved, spectral, strict=True))
    if distance == 0:
        yield Refusal("log_spec_init_main", "the weights have not moved from the initial ones, and ln 0 is no number")
    else:
        yield over_margin("log_spec_init_main", product + math.log(distance), "29")
