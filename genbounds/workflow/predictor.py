"""The predictor that a certificate covers, loaded again from its folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import one_hot

from genbounds.models.checkpoint import load_checkpoint
from genbounds.models.guards import check_evaluation_mode
from genbounds.models.passes import predict
from genbounds.models.randomness import PerExampleForward, draw_weights, normal_noise, stream
from genbounds.pac_bayes.low_rank import Gaussian, load_gaussian
from genbounds.workflow.inputs import build

__all__ = ["DRAWN", "StochasticPredictor", "load_module", "load_predictor"]

#: File of the network that was drawn, in the folder of a certificate for a single draw.
DRAWN = "drawn.safetensors"


@dataclass(frozen=True)
class StochasticPredictor:
    """A network whose weights are drawn from a posterior.

    It computes in the dtype that was certified, on the device of the inputs.

    Parameters
    ----------
    model : nn.Module
        Architecture, in evaluation mode, with the buffers of the certificate.
    posterior : DiagonalGaussian or LowRankGaussian
        Q.
    """

    model: nn.Module
    posterior: Gaussian

    @torch.no_grad()
    def gibbs(self, inputs: Tensor, *, seed: int) -> Tensor:
        """Predict with fresh weights for every example: the predictor that the certificate is about.

        Parameters
        ----------
        inputs : Tensor, shape (batch, ...)
            Examples as the model takes them, on the device to evaluate on.
        seed : int
            Seed of the draws; take a new one for every call.

        Returns
        -------
        Tensor of int64, shape (batch,)
            Classes.
        """
        inputs, law = self._ready(inputs)
        noise = normal_noise(stream(seed, "gibbs predictions", device=inputs.device), self._dtype)
        return predict(PerExampleForward(self.model, inputs[:5])(inputs=inputs, noise=noise, **law))

    @torch.no_grad()
    def majority(self, inputs: Tensor, *, draws: int, seed: int) -> Tensor:
        """Predict by the majority of several networks; ties go to the smallest class.

        The risk of the majority vote over all of Q is at most twice the certified Gibbs risk. A vote of finitely many
        draws approximates it and has no certificate of its own.

        Parameters
        ----------
        inputs : Tensor, shape (batch, ...)
            Examples as the model takes them, on the device to evaluate on.
        draws : int
            Networks that vote, at least 1.
        seed : int
            Seed of the draws.

        Returns
        -------
        Tensor of int64, shape (batch,)
            Classes.

        Raises
        ------
        ValueError
            If there are no draws.
        """
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}. An odd number such as 11 avoids most ties.")
        inputs, law = self._ready(inputs)

        def vote(number: int) -> Tensor:
            noise = normal_noise(stream(seed, "majority", number, device=inputs.device), self._dtype)
            logits = functional_call(self.model, draw_weights(noise=noise, **law), (inputs,))
            return one_hot(predict(logits), logits.shape[1])

        votes = vote(0)
        for number in range(1, draws):
            votes += vote(number)
        return votes.argmax(1)

    @property
    def _dtype(self) -> torch.dtype:
        return next(iter(self.posterior.mean.values())).dtype

    def _ready(self, inputs: Tensor) -> tuple[Tensor, dict[str, Any]]:
        self.model.to(inputs.device)
        inputs = inputs.to(self._dtype) if inputs.is_floating_point() else inputs
        law = self.posterior.law(inputs.device, self._dtype)
        # What the posterior does not speak of (all but the head, where only that is random) stays as it is.
        for name, value in self.model.named_parameters():
            if name not in self.posterior.mean:
                law["mean"][name], law["scale"][name] = value.detach(), torch.zeros_like(value)
                if "factor" in law:
                    rank = len(next(iter(law["factor"].values())))
                    law["factor"][name] = value.new_zeros(()).expand(rank, *value.shape)
        return inputs, law


def load_module(
    model: nn.Module | Callable[..., nn.Module] | str | Path, folder: str | Path, weights: Mapping[str, Tensor]
) -> nn.Module:
    """Build an architecture and give it weights and the buffers of a certificate's folder.

    Parameters
    ----------
    model : nn.Module, callable, str or Path
        As in `certify`.
    folder : str or Path
        Where ``buffers.safetensors`` is, if the model has buffers, or ``features.safetensors``, if only the last layer
        is random: everything else.
    weights : mapping of str to Tensor
        Values of its random parameters.

    Returns
    -------
    nn.Module
        The module, in evaluation mode and in the dtype of `weights`.

    Raises
    ------
    ValueError
        If the parameters do not fit.
    """
    module = build(model).to(next(iter(weights.values())).dtype)
    state = dict(weights)
    for file in ("buffers.safetensors", "features.safetensors"):
        if (path := Path(folder) / file).exists():
            kept = load_checkpoint(path).state
            state |= {
                name: value for name, value in kept.items() if name in module.state_dict() and name not in weights
            }
    wanted = {name for name, _ in module.named_parameters()}
    found = state.keys() - {name for name, _ in module.named_buffers()}
    if wanted != found:
        odd = sorted(wanted ^ found)
        raise ValueError(f"model must have the parameters of the certificate, but {', '.join(odd)} are in one only.")
    module.load_state_dict(state, strict=False)
    module.eval()
    check_evaluation_mode(module)
    return module


def load_predictor(
    folder: str | Path, model: nn.Module | Callable[..., nn.Module] | str | Path
) -> StochasticPredictor | nn.Module:
    """Load the predictor of a certificate's folder.

    Parameters
    ----------
    folder : str or Path
        Folder that `certify` wrote.
    model : nn.Module, callable, str or Path
        The architecture, as in `certify`; its weights are replaced.

    Returns
    -------
    StochasticPredictor or nn.Module
        With `gibbs` and `majority`; where one network was drawn and certified, that network, in evaluation mode.

    Raises
    ------
    ValueError
        If the folder is of a certificate without a posterior, or the parameters do not fit.
    """
    if (drawn := Path(folder) / DRAWN).exists():
        return load_module(model, folder, load_checkpoint(drawn).state)
    if not (kept := Path(folder) / "posterior.safetensors").exists():
        raise ValueError(
            f"folder must hold posterior.safetensors, got {Path(folder).name}. Take load_compressed for a network that "
            "was certified by its code, and load_prompts for prompts."
        )
    posterior = load_gaussian(kept)
    return StochasticPredictor(load_module(model, folder, posterior.mean), posterior)
