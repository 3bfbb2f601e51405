"""Gaussians whose covariance is diagonal plus low rank: posteriors that know some directions of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genbounds.numerics import kl_low_rank
from genbounds.pac_bayes.posteriors import DiagonalGaussian, parts_sha256, read_parts, save_parts

__all__ = ["Gaussian", "LowRankGaussian", "load_gaussian"]


@dataclass(frozen=True)
class LowRankGaussian:
    """N(mean, diag(scale^2) + U U^T) over all parameters of a network at once, held on the CPU.

    Parameters
    ----------
    mean : mapping of str to Tensor
        Means by name of parameter.
    scale : mapping of str to Tensor
        Standard deviations of the diagonal part, positive, as in `DiagonalGaussian`.
    factor : mapping of str to Tensor
        U by name: for a mean of shape s a tensor of shape (rank, *s). Column r of U is made of the r-th rows of
        all tensors, so that one coefficient moves all parameters together.

    Raises
    ------
    ValueError
        If names, shapes or ranks differ, a number is not finite, or a scale is not positive.
    """

    mean: Mapping[str, Tensor]
    scale: Mapping[str, Tensor]
    factor: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        if self.diagonal.mean.keys() != self.factor.keys():
            odd = sorted(self.mean.keys() ^ self.factor.keys())
            raise ValueError(f"mean and factor must name the same parameters, got {odd} in one only. Give both.")
        rank = len(next(iter(self.factor.values())))
        for name, columns in self.factor.items():
            wanted = (rank, *self.mean[name].shape)
            if tuple(columns.shape) != wanted:
                raise ValueError(f"factor of {name!r} must have the shape {wanted}, got {tuple(columns.shape)}.")
            if not torch.isfinite(columns).all():
                raise ValueError(f"factor of {name!r} must be finite, got NaN or infinity. Look upstream for it.")

    @property
    def diagonal(self) -> DiagonalGaussian:
        """The Gaussian without its factor: the law of a draw whose coefficients are zero."""
        return DiagonalGaussian(self.mean, self.scale)

    @property
    def rank(self) -> int:
        """Number of columns of U."""
        return len(next(iter(self.factor.values())))

    @property
    def parameters(self) -> int:
        """Number of random parameters."""
        return self.diagonal.parameters

    def law(self, device: torch.device | str, dtype: torch.dtype) -> dict[str, Any]:
        """Return what a draw needs, by the names of the arguments of `genbounds.models.randomness`.

        Parameters
        ----------
        device : torch.device or str
            Where the model is evaluated.
        dtype : torch.dtype
            In what type.

        Returns
        -------
        dict
            ``mean``, ``scale`` and ``factor``, in alphabetical order of the parameters.
        """
        factor = {name: self.factor[name].to(device, dtype) for name in sorted(self.factor)}
        return self.diagonal.law(device, dtype) | {"factor": factor}

    def spread(self, centre: Mapping[str, Tensor]) -> dict[str, float]:
        """Return E|w - centre|^2 under this Gaussian: it settles which isotropic prior around `centre` is nearest.

        Parameters
        ----------
        centre : mapping of str to Tensor
            A point, by name of parameter.

        Returns
        -------
        dict of str to float
            The mean squared distance, parameter by parameter.
        """
        without = self.diagonal.spread(centre)
        return {name: value + float(self.factor[name].double().square().sum()) for name, value in without.items()}

    def kl(self, prior: DiagonalGaussian) -> float:
        """Return KL(self || prior) in nats, in float64, rounded up with a proof.

        Parameters
        ----------
        prior : DiagonalGaussian
            Over parameters of the same names and shapes.

        Returns
        -------
        float
            Upper-rounded KL divergence, >= 0.

        Raises
        ------
        ValueError
            If the parameters differ in name or shape.
        """
        shapes = {name: tuple(value.shape) for name, value in self.mean.items()}
        if shapes != {name: tuple(value.shape) for name, value in prior.mean.items()}:
            raise ValueError("prior must have the parameters of the posterior, by name and shape. Build both alike.")

        def flat(weights: Mapping[str, Tensor]) -> NDArray[np.float64]:
            values = [weights[name].expand_as(mean).reshape(-1) for name, mean in self.mean.items()]
            return torch.cat(values).double().numpy()

        columns = torch.cat([self.factor[name].reshape(self.rank, -1) for name in self.mean], dim=1)
        if columns.dtype not in (torch.float32, torch.float64):
            columns = columns.float()  # NumPy has no bfloat16
        return float(
            kl_low_rank(flat(self.mean), flat(self.scale), columns.T.numpy(), flat(prior.mean), flat(prior.scale))
        )

    def sha256(self) -> str:
        """Return a fingerprint of names, dtypes, shapes and bits, whatever the order or the file.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        return parts_sha256(self._parts)

    def save(self, path: str | Path) -> None:
        """Write the Gaussian as safetensors; an interrupted write leaves no half file.

        Parameters
        ----------
        path : str or Path
            Target.
        """
        save_parts(self._parts, path)

    @classmethod
    def load(cls, path: str | Path) -> "LowRankGaussian":
        """Read a Gaussian written by `save`.

        Parameters
        ----------
        path : str or Path
            The file.

        Returns
        -------
        LowRankGaussian
            The Gaussian.
        """
        return cls(**read_parts(path, ("mean", "scale", "factor")))

    @property
    def _parts(self) -> dict[str, Mapping[str, Tensor]]:
        return {"mean": self.mean, "scale": self.scale, "factor": self.factor}


#: A posterior: what evaluation and certificates ask of it, both classes answer.
Gaussian = DiagonalGaussian | LowRankGaussian


def load_gaussian(path: str | Path) -> Gaussian:
    """Read a Gaussian written by `save`, whichever of the two it is.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    DiagonalGaussian or LowRankGaussian
        The Gaussian.

    Raises
    ------
    ValueError
        If the file is no safetensors file with the parts of one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            low_rank = any(key.startswith("factor:") for key in file.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} must be a Gaussian saved by genbounds, got {error}.") from error
    return LowRankGaussian.load(path) if low_rank else DiagonalGaussian.load(path)
