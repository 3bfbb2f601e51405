"""Diagonal Gaussians over the weights of a network: the posterior Q and the prior P of a certificate.

`law`, `kl`, `spread`, `sha256`, `save` and `parameters` are what evaluation and certificates ask of a posterior; a
`genbounds.pac_bayes.low_rank.LowRankGaussian` has them too.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from genbounds.models.state import save_state
from genbounds.numerics import kl_diagonal

__all__ = ["DiagonalGaussian", "parts_sha256", "read_parts", "save_parts"]


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, diag(scale^2)) over all parameters of a network, held on the CPU.

    Parameters
    ----------
    mean : mapping of str to Tensor
        Means by name of parameter.
    scale : mapping of str to Tensor
        Standard deviations, positive, of the shape of the means or 0-dimensional (one for the whole tensor).

    Raises
    ------
    ValueError
        If names or shapes differ, a mean is not finite, or a scale is not positive and finite.
    """

    mean: Mapping[str, Tensor]
    scale: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        if self.mean.keys() != self.scale.keys():
            odd = sorted(self.mean.keys() ^ self.scale.keys())
            raise ValueError(f"mean and scale must name the same parameters, got {odd} in one only. Give both.")
        for name, mean in self.mean.items():
            scale = self.scale[name]
            if scale.ndim and scale.shape != mean.shape:
                raise ValueError(
                    f"scale of {name!r} must have no axes or the shape {tuple(mean.shape)}, got {tuple(scale.shape)}."
                )
            if not torch.isfinite(mean).all():
                raise ValueError(f"mean of {name!r} must be finite, got NaN or infinity. Training has diverged.")
            if not (torch.isfinite(scale).all() and (scale > 0).all()):
                raise ValueError(f"scale of {name!r} must be positive and finite, got {scale.min().item()!r} at least.")

    @classmethod
    def isotropic(cls, mean: Mapping[str, Tensor], scale: float) -> "DiagonalGaussian":
        """Return the Gaussian around `mean` with one standard deviation for all parameters.

        Parameters
        ----------
        mean : mapping of str to Tensor
            Means by name; copied to the CPU.
        scale : float
            Standard deviation, positive; rounded to the dtype of each mean.

        Returns
        -------
        DiagonalGaussian
            The Gaussian.
        """
        own = {name: value.detach().cpu().clone() for name, value in mean.items()}
        return cls(own, {name: torch.tensor(scale, dtype=value.dtype) for name, value in own.items()})

    @property
    def parameters(self) -> int:
        """Number of random parameters."""
        return sum(value.numel() for value in self.mean.values())

    def to(self, device: torch.device | str, dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return means and scales, scales expanded to the shapes of the means, for evaluation.

        They come in alphabetical order, for weights are drawn in the order of their names, and a file has its own.

        Parameters
        ----------
        device : torch.device or str
            Where the model is evaluated.
        dtype : torch.dtype
            In what type.

        Returns
        -------
        tuple of dict
            Means and standard deviations.
        """
        mean = {name: self.mean[name].to(device, dtype) for name in sorted(self.mean)}
        return mean, {name: self.scale[name].to(device, dtype).expand_as(value) for name, value in mean.items()}

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
            ``mean`` and ``scale``, as `to` gives them.
        """
        return dict(zip(("mean", "scale"), self.to(device, dtype), strict=True))

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
        return {
            name: float(self.scale[name].double().square().expand(value.shape).sum())
            + float((value.double() - centre[name].double()).square().sum())
            for name, value in self.mean.items()
        }

    def kl(self, prior: "DiagonalGaussian") -> float:
        """Return KL(self || prior) in nats, in float64, rounded up.

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
        parts = [
            float(kl_diagonal(*(_flat(weights[name]) for weights in (self.mean, self.scale, prior.mean, prior.scale))))
            for name in self.mean
        ]
        total = math.fsum(parts)
        return math.nextafter(total, math.inf) if total else 0.0

    def sha256(self) -> str:
        """Return a fingerprint of names, dtypes, shapes and bits, whatever the order or the file.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        return parts_sha256({"mean": self.mean, "scale": self.scale})

    def save(self, path: str | Path) -> None:
        """Write the Gaussian as safetensors; an interrupted write leaves no half file.

        Parameters
        ----------
        path : str or Path
            Target.
        """
        save_parts({"mean": self.mean, "scale": self.scale}, path)

    @classmethod
    def load(cls, path: str | Path) -> "DiagonalGaussian":
        """Read a Gaussian written by `save`.

        Parameters
        ----------
        path : str or Path
            The file.

        Returns
        -------
        DiagonalGaussian
            The Gaussian.

        Raises
        ------
        ValueError
            If the file is no safetensors file with means and scales.
        """
        return cls(**read_parts(path, ("mean", "scale")))


def parts_sha256(parts: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Return a fingerprint of the parts of a Gaussian: names, dtypes, shapes and bits.

    Parameters
    ----------
    parts : mapping of str to mapping of str to Tensor
        Such as ``mean`` and ``scale``, in an order of their own; their tensors by name of parameter.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for part, weights in parts.items():
        for name in sorted(weights):
            value = weights[name].contiguous()
            digest.update(f"{part}:{name}:{value.dtype}:{tuple(value.shape)}\n".encode())
            digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_parts(parts: Mapping[str, Mapping[str, Tensor]], path: str | Path) -> None:
    """Write the parts of a Gaussian as safetensors; an interrupted write leaves no half file.

    Parameters
    ----------
    parts : mapping of str to mapping of str to Tensor
        As in `parts_sha256`.
    path : str or Path
        Target.
    """
    save_state({f"{part}:{name}": value for part, own in parts.items() for name, value in own.items()}, path)


def read_parts(path: str | Path, names: tuple[str, ...]) -> dict[str, dict[str, Tensor]]:
    """Read what `save_parts` wrote.

    Parameters
    ----------
    path : str or Path
        The file.
    names : tuple of str
        Parts that it must consist of.

    Returns
    -------
    dict
        The parts.

    Raises
    ------
    ValueError
        If the file is no safetensors file with these parts.
    """
    parts: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (safe_open is no mapping)
                part, _, name = key.partition(":")
                parts[part][name] = file.get_tensor(key)
    except (SafetensorError, KeyError) as error:
        wanted = " and ".join(f"{name}:" for name in names)
        raise ValueError(
            f"{path} must be a Gaussian saved by genbounds (safetensors with {wanted}), got {error}."
        ) from error
    return parts


def _flat(value: Tensor) -> np.ndarray:
    return value.reshape(-1).double().numpy() if value.ndim else value.double().numpy()
