r"""Laplace's approximation of the evidence, from the numbers that it is made of.

With the prior whitened, z ~ N(0, I), and H the Hessian of minus the log-likelihood in z at z*, the textbook form
``ln p(D|z*) + ln p(z*) + (d/2) ln 2 pi - (1/2) ln |H + I|`` [MacKay1992]_ is

    ``ln p(D) ~ ln p(D|z*) - |z*|^2 / 2 - (1/2) sum ln(1 + h_i)``.

What is subtracted is the Occam factor, in nats. It is exact for a Gaussian likelihood of a linear model at the
posterior mode; elsewhere an estimate without an error, and no bound on either side. Where z* is not the mode, the
second-order expansion has a slope g of minus the log joint density and a further term ``g' (I + H)^-1 g / 2``.
"""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from genbounds.numerics.checks import finite

__all__ = ["LaplaceEvidence"]

#: Nats that the slope may be worth before a warning is due.
_AT_MODE = 0.1


@dataclass(frozen=True)
class LaplaceEvidence:
    """Laplace's approximation of the logarithm of the evidence, ln p(D): an estimate.

    Attributes
    ----------
    log_likelihood : float
        ln p(D | z*).
    squared_norm : float
        ``|z*|^2``, in units of the prior's standard deviations.
    log_determinant : float
        ``ln |I + H|``.
    decrement : float
        ``g' (I + H)^-1 g / 2``, what the slope at z* is worth; 0 at the mode of the posterior.
    dimension : int
        Number of weights d.
    structure : str
        What stands for the Hessian.
    """

    log_likelihood: float
    squared_norm: float
    log_determinant: float
    decrement: float
    dimension: int
    structure: str

    @classmethod
    def from_spectrum(
        cls, log_likelihood: float, anchor: ArrayLike, slope: ArrayLike, eigenvalues: ArrayLike, structure: str
    ) -> Self:
        """Put the approximation together.

        Parameters
        ----------
        log_likelihood : float
            ln p(D | z*).
        anchor, slope : array_like, shape (k,)
            z* and the gradient of minus the log joint density, ``-d ln p(D|z)/dz + z``, in the eigenbasis of H.
        eigenvalues : array_like, shape (k,)
            Of H, in the same order.
        structure : str
            What stands for the Hessian.

        Returns
        -------
        LaplaceEvidence
            The record.

        Raises
        ------
        ValueError
            If I + H is not positive definite.

        Examples
        --------
        >>> # One observation y = 1 of z ~ N(0, 1) with unit noise: y ~ N(0, 2), and the mode is 1/2.
        >>> normal = -np.log(2 * np.pi) / 2
        >>> found = LaplaceEvidence.from_spectrum(normal - 0.5**2 / 2, [0.5], [0.0], [1.0], "hessian")
        >>> bool(np.isclose(found.value, normal - np.log(2) / 2 - 1 / 4))
        True
        """
        z, g, values = (
            finite(name, value) for name, value in (("anchor", anchor), ("slope", slope), ("eigenvalues", eigenvalues))
        )
        if (values <= -1).any():
            raise ValueError(
                f"the Hessian plus the prior's precision must be positive definite, got the eigenvalue "
                f"{1 + values.min():.6g} in units of that precision: the weights are no maximum of the posterior. "
                "Train further, with the prior as weight decay, or use the Gauss-Newton matrix."
            )
        return cls(
            log_likelihood=float(finite("log_likelihood", log_likelihood)),
            squared_norm=float(z @ z),
            log_determinant=float(np.log1p(values).sum()),
            decrement=float((g**2 / (1 + values)).sum() / 2),
            dimension=len(z),
            structure=structure,
        )

    @property
    def occam_factor(self) -> float:
        """Nats that the likelihood of the fitted weights loses for having been fitted.

        Returns
        -------
        float
            ``|z*|^2 / 2 + ln |I + H| / 2``.
        """
        return (self.squared_norm + self.log_determinant) / 2

    @property
    def value(self) -> float:
        """The approximation of ln p(D), at the mode.

        Returns
        -------
        float
            In nats; the decrement is not part of it.
        """
        return self.log_likelihood - self.occam_factor

    @property
    def expanded(self) -> float:
        """The second-order expansion where z* is not the mode.

        Returns
        -------
        float
            ``value + decrement``: exact for a linear Gaussian model at any z*.
        """
        return self.value + self.decrement

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader has to know before quoting the value.

        Returns
        -------
        tuple of str
            Sentences.
        """
        if self.decrement <= _AT_MODE:
            return ()
        return (
            f"the weights are not the mode of the posterior: the slope there is worth {self.decrement:.3g} nats, which "
            "the value leaves out. Train with the prior as weight decay, or quote `expanded`.",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON carries it.

        Returns
        -------
        dict
            Its fields, with what follows from them under ``derived``.
        """
        return asdict(self) | {"derived": {"value": self.value, "occam_factor": self.occam_factor}}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read a record back.

        Parameters
        ----------
        content : dict
            What `to_json` returned.

        Returns
        -------
        LaplaceEvidence
            The record, bit for bit.
        """
        return cls(**{name: value for name, value in content.items() if name != "derived"})

    def __str__(self) -> str:
        return "\n".join([
            f"Laplace estimate of ln p(D): {self.value:.2f} nats = log-likelihood {self.log_likelihood:.2f} - Occam "
            f"factor {self.occam_factor:.2f} ({self.dimension:,} weights, {self.structure})",
            *self.warnings,
        ])
