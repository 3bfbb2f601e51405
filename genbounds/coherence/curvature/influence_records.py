"""What was found of the influence of single training examples, and how."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbounds.numerics.checks import count

__all__ = ["Influence"]


@dataclass(frozen=True, eq=False)  # arrays have no equality of their own that is one answer
class Influence:
    """First-order influence of each training example on a query: estimates, of which nothing is proved.

    Attributes
    ----------
    influences : ndarray, shape (m,)
        Change of the query for each unit of weight that example i gains in the objective, mean loss + weight * its own
        loss. Positive: more of the example raises the query (it harms). Negative: more of it lowers the query.
    standard_errors : ndarray, shape (m,), or None
        Standard error of each, as the query is a mean over a sample: from the spread of `by_group`. None for one group.
    by_group : ndarray, shape (K, m)
        Influences on each group of query examples; as many groups as examples keep the examples' order.
    query : str
        ``"loss"``, or ``"gap"``: the query loss less the mean loss of the training examples under the query loss.
    query_value, training_loss : float
        Present values of the query, and of the mean training loss.
    gradient_norm : float
        Norm of the mean training loss's gradient, zero at a stationary point of an objective without weight decay.
    curvature : str
        ``"gauss_newton"``, or ``"ekfac"``: an approximation of it.
    damping : float
        What was added to the diagonal of the curvature.
    damping_rule : str
        Where it came from.
    residuals : tuple of float
        Relative residual of the damped system with the exact Gauss-Newton matrix, for each group.
    steps : int
        Products with the matrix in the iteration.
    converged : bool
        Whether every residual met the tolerance; never so for an approximation that does not.
    parameters : int
        Parameters that the influence goes through.
    """

    influences: NDArray[np.float64]
    standard_errors: NDArray[np.float64] | None
    by_group: NDArray[np.float64]
    query: str
    query_value: float
    training_loss: float
    gradient_norm: float
    curvature: str
    damping: float
    damping_rule: str
    residuals: tuple[float, ...]
    steps: int
    converged: bool
    parameters: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Influence) and self.to_json() == other.to_json()

    def left_out(self) -> NDArray[np.float64]:
        """Estimate how the query changes when an example is left out.

        Returns
        -------
        ndarray, shape (m,)
            -influence / m: the example loses its weight 1/m, and the others keep theirs.
        """
        return -self.influences / len(self.influences)

    def most_harmful(self, k: int) -> NDArray[np.int64]:
        """Find the training examples of which more would raise the query most.

        Parameters
        ----------
        k : int
            How many.

        Returns
        -------
        ndarray of int64, shape (k,)
            Their positions, the largest influence first; those with influence 0 or less are left out.
        """
        order = np.argsort(-self.influences, kind="stable")[: int(count("k", k))]
        return order[self.influences[order] > 0]

    def most_helpful(self, k: int) -> NDArray[np.int64]:
        """Find the training examples of which more would lower the query most.

        Parameters
        ----------
        k : int
            How many.

        Returns
        -------
        ndarray of int64, shape (k,)
            Their positions, the most negative influence first; those with influence 0 or more are left out.
        """
        order = np.argsort(self.influences, kind="stable")[: int(count("k", k))]
        return order[self.influences[order] < 0]

    def share_of_top(self, k: int) -> float:
        """Measure how concentrated influence is.

        Parameters
        ----------
        k : int
            How many examples.

        Returns
        -------
        float
            Share of the sum of all |influences| that the k largest have, in [0, 1]; 0 if all are zero.
        """
        sizes = np.sort(np.abs(self.influences))[::-1]
        whole = float(sizes.sum())
        return float(sizes[: int(count("k", k))].sum()) / whole if whole else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            By name; arrays and tuples become lists.
        """
        return {name: _plain(value) for name, value in asdict(self).items()}

    def __str__(self) -> str:
        """Say the most in a few lines."""
        m = len(self.influences)

        def listed(order: NDArray[np.int64]) -> str:
            return ", ".join(f"{i} ({self.influences[i]:+.3g})" for i in order) or "none"

        how = "damped Gauss-Newton" if self.curvature == "gauss_newton" else "EK-FAC, an approximation"
        name = "query loss" if self.query == "loss" else "gap"
        tenth = -(-m // 10)
        lines = [
            f"Influence of {m} training examples on the {name} (now {self.query_value:.6g}), to first order, {how}",
            f"  raise it  {listed(self.most_harmful(5))}",
            f"  lower it  {listed(self.most_helpful(5))}",
            f"  the {tenth} largest have {self.share_of_top(tenth):.0%} of the total of absolute influences",
            f"  damping {self.damping:.4g} ({self.damping_rule}), relative residual {max(self.residuals):.2g} after "
            f"{self.steps} products, {self.parameters} parameters, gradient norm {self.gradient_norm:.2g}",
        ]
        if self.curvature == "gauss_newton" and not self.converged:
            lines.append("  NOT CONVERGED: raise max_steps, damping or tolerance, or compute in float64.")
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    """Return arrays and tuples as lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
