"""What every way to a certificate starts from and records: data with roles, networks, settings, a folder."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from genbounds.certificates import Certificate, Sample
from genbounds.models.data import load_data
from genbounds.models.examples import Data
from genbounds.models.guards import (
    check_deterministic,
    check_evaluation_mode,
    check_examples_do_not_mix,
    check_logits,
    check_repeatable_data,
)
from genbounds.models.randomness import stream
from genbounds.models.splits import ROLES, Roles
from genbounds.models.state import save_state, state_sha256
from genbounds.pac_bayes.low_rank import Gaussian
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.theorems import Assumption
from genbounds.version import __version__
from genbounds.workflow.composition import repetition_notes
from genbounds.workflow.evaluation import Evaluation
from genbounds.workflow.inputs import Networks, State, assign_roles, gather_networks, stratification_notes
from genbounds.workflow.store import Store

__all__ = ["Run", "check_model", "gather"]


def check_model(
    module: nn.Module, data: Data, indices: NDArray[np.int64], device: torch.device | str, dtype: torch.dtype
) -> Tensor:
    """Refuse a model that gives no scores, or not of the example alone.

    Parameters
    ----------
    module : nn.Module
        The model, on `device` and in `dtype`.
    data : Data
        Where the examples are.
    indices : ndarray of int64
        Which examples; the first eight are tried.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.

    Returns
    -------
    Tensor
        Its scores on those examples.
    """
    _, inputs, targets = next(data.batches(indices[:8], 8, device=device, dtype=dtype))
    check_evaluation_mode(module)
    check_deterministic(module, inputs)
    check_examples_do_not_mix(module, inputs)
    with torch.no_grad():
        outputs: Tensor = module(inputs)
    check_logits(outputs, targets)
    return outputs


@dataclass(frozen=True)
class Run:
    """The data, the networks and the circumstances of one certificate.

    Parameters
    ----------
    source : Data
        The examples.
    roles : Roles
        Their roles.
    networks : Networks
        The architecture and its states; the module is on `device` and in `dtype`.
    seed : int
        Seed of everything.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    stratified : tuple of str
        A sentence if roles that the user gave look stratified.
    """

    source: Data
    roles: Roles
    networks: Networks
    seed: int
    device: torch.device | str
    dtype: torch.dtype
    stratified: tuple[str, ...]

    @property
    def bound(self) -> NDArray[np.int64]:
        """Examples of the bound."""
        return self.roles.indices("bound")

    @property
    def used(self) -> list[str]:
        """Roles that some example has."""
        return [role for role in ROLES if self.roles.count(role)]

    @property
    def content(self) -> dict[str, str]:
        """Fingerprint of the examples of each role."""
        return {role: self.source.content_sha256(self.roles.indices(role)) for role in self.used}

    @property
    def versions(self) -> dict[str, str]:
        """Software that the numbers come from."""
        return {"genbounds": __version__, "torch": torch.__version__, "numpy": np.__version__}

    def check(self) -> Tensor:
        """Refuse a model that gives no scores, or not of the example alone; return those of a few examples."""
        return check_model(self.networks.module, self.source, self.bound, self.device, self.dtype)

    def augmentation(self, augment: Callable[[Tensor, torch.Generator], Tensor] | None) -> str | None:
        """Fingerprint an augmentation by what it does: it may be a closure, a partial or an object without source.

        Parameters
        ----------
        augment : callable, optional
            ``augment(inputs, generator) -> inputs``.

        Returns
        -------
        str or None
            64 hexadecimal digits.
        """
        if augment is None:
            return None
        indices = self.roles.indices("prior" if self.roles.count("prior") else "bound")
        _, inputs, _ = next(self.source.batches(indices[:8], 8, device=self.device, dtype=self.dtype))
        return state_sha256({"": augment(inputs, stream(self.seed, "augmentation probe", device=self.device))})

    def open(self, settings: Mapping[str, Any], folder: Path | None, progress: bool) -> Evaluation:
        """Open the folder of the run, once everything is known that its results depend on.

        Parameters
        ----------
        settings : mapping
            What is particular to this kind of certificate, as JSON values.
        folder : Path or None
            Folder of the certificate; None keeps nothing.
        progress : bool
            Show bars on a terminal.

        Returns
        -------
        Evaluation
            Counts errors, and remembers them there.
        """
        everything = dict(settings) | {
            "model": self.networks.name,
            "checkpoint": self.networks.trained and state_sha256(self.networks.trained),
            "initial": self.networks.initial and state_sha256(self.networks.initial),
            "outputs of the model": state_sha256({"": self.check()}),
            "data": self.content,
            "roles": hashlib.sha256(self.roles.codes.tobytes()).hexdigest(),
            "seed": self.seed,
            "device": torch.device(self.device).type,
            "dtype": str(self.dtype).removeprefix("torch."),
            "versions": self.versions,
        }
        store = Store(folder / "run" if folder else None, everything)
        return Evaluation(self.networks.module, self.source, store, self.seed, self.device, self.dtype, progress)

    def sample(self) -> Sample:
        """Return the certificate's account of the examples and their roles."""
        members = {role: self.roles.indices(role) for role in self.used}
        return Sample.of(len(self.source), members, self.content)

    def model(self, parameters: int) -> dict[str, Any]:
        """Return the certificate's account of the network.

        Parameters
        ----------
        parameters : int
            Number of random parameters.

        Returns
        -------
        dict
            Names, fingerprints, number of classes, device and type.
        """
        networks = self.networks
        buffers = dict(networks.module.named_buffers())
        return {
            "name": networks.name,
            "checkpoint_sha256": networks.trained and state_sha256(networks.trained),
            "initial_sha256": networks.initial and state_sha256(networks.initial),
            "buffers_sha256": state_sha256(buffers) if buffers else None,
            "parameters": parameters,
            "classes": self.source.classes,
            "device": torch.device(self.device).type,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    def save(self, folder: Path, certificate: Certificate, posterior: Gaussian, prior: DiagonalGaussian) -> None:
        """Write what a certificate needs to be measured again.

        Parameters
        ----------
        folder : Path
            Where.
        certificate : Certificate
            The certificate.
        posterior, prior : DiagonalGaussian or LowRankGaussian
            Q and P.
        """
        posterior.save(folder / "posterior.safetensors")
        prior.save(folder / "prior.safetensors")
        if buffers := dict(self.networks.module.named_buffers()):
            save_state({name: value.detach().cpu() for name, value in buffers.items()}, folder / "buffers.safetensors")
        certificate.save(folder / "certificate.json")

    def statuses(self, checked: Collection[Assumption]) -> dict[Assumption, str]:
        """Say how each assumption stands.

        Parameters
        ----------
        checked : collection of Assumption
            Those that the program looked at.

        Returns
        -------
        dict of Assumption to str
            ``checked`` or ``declared``; ``unknown`` for independence if the roles look stratified.
        """
        statuses = {assumption: "checked" if assumption in checked else "declared" for assumption in Assumption}
        if self.stratified:
            statuses |= dict.fromkeys((Assumption.IID, Assumption.INDEPENDENT_SAMPLE), "unknown")
        return statuses

    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know of the data: where it is from, odd roles, copies."""
        hashes = self.source.example_hashes(np.arange(len(self.source)))
        return (*self.source.notes, *self.stratified, *repetition_notes(hashes, self.roles))


def gather(
    model: nn.Module | Callable[..., nn.Module] | str | Path,
    data: Any,
    *,
    prior: str,
    needs: str = "",
    checkpoint: State | None = None,
    initial: State | None = None,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    roles: Roles | Mapping[str, ArrayLike] | None = None,
    prior_fraction: float = 0.5,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Run:
    """Load data and networks, and give roles.

    Parameters
    ----------
    model, data, checkpoint, initial, prefix, entry, trust_pickle, roles, prior_fraction, seed, device, dtype
        As in `certify`.
    prior : str
        Kind of prior, which says what roles are needed.
    needs : str
        Kind of prior that says what states of the network are needed, if that is another.

    Returns
    -------
    Run
        Nothing has been evaluated yet.

    Raises
    ------
    ValueError
        If a state or a role that is needed is missing, or the data changes when it is read again.
    """
    source = load_data(data, part="all")
    assigned = assign_roles(source, roles, prior=prior, prior_fraction=prior_fraction, seed=seed)
    for role in ("bound", "test"):
        if assigned.count(role):
            check_repeatable_data(source, assigned.indices(role))
    networks = gather_networks(
        model,
        checkpoint,
        initial,
        prior=needs or prior,
        seed=seed,
        prefix=prefix,
        entry=entry,
        trust_pickle=trust_pickle,
    )
    networks.module.to(device, dtype)
    stratified = stratification_notes(source, assigned) if roles is not None else ()
    return Run(source, assigned, networks, seed, device, dtype, stratified)
