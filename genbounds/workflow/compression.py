"""From a model and its data to a certificate for one network by its code length, and that network again."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from genbounds.certificates import Certificate, Comparison, Ledger, LedgerEntry, state
from genbounds.certificates.fields import whole
from genbounds.compression.codes import code_length
from genbounds.compression.message import Header, QuantisedNetwork, decode, encode, read_header
from genbounds.compression.parametrisations import Parametrisation, rebuild
from genbounds.compression.training import CompressionTraining, quantise, train_coordinates
from genbounds.models.buffers import stateful_buffers
from genbounds.models.examples import Data
from genbounds.models.guards import ModelError, check_evaluation_mode
from genbounds.models.passes import count_errors
from genbounds.models.splits import Roles, in_halves
from genbounds.models.state import apply_state, save_state, state_sha256
from genbounds.pac_bayes import occam_binomial
from genbounds.theorems import Assumption
from genbounds.workflow.composition import HEADLINE, error_estimate, holdout_comparison
from genbounds.workflow.inputs import Networks, State, gather_networks
from genbounds.workflow.run import gather

__all__ = ["certify_compressed", "load_compressed"]

#: What the program sees to. The code is a prefix code whatever is done; that the model, or the list in which it has its
#: number, was fixed before the sample was seen is for the user to say, and so that the start did not see it.
_CHECKED = {Assumption.ZERO_ONE_LOSS, Assumption.DETERMINISTIC_EVALUATION}


def certify_compressed(
    model: nn.Module | Callable[..., nn.Module] | str | Path,
    data: Any,
    *,
    pretrained: State | None = None,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
    adapt: Sequence[str] = ("*",),
    parametrisation: Mapping[str, Any] | None = None,
    training: CompressionTraining | None = None,
    variant: int = 1,
    roles: Roles | Mapping[str, ArrayLike] | None = None,
    delta: float = 0.05,
    holdout: bool = True,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    out: str | Path | None = None,
    progress: bool = False,
) -> Certificate:
    """Certify the 0-1 risk of one deterministic network, trained on all of the data, by the length of its code.

    A few coordinates of the network are trained on the bound's sample and quantised; the network is written as a
    message, read again from it, and what was read is evaluated on the same sample. The bound holds for all networks
    that have a message at once, each at the price of its own length, so that nothing is held out.

    Parameters
    ----------
    model : nn.Module, callable, str or Path
        The architecture, as in `certify`. A factory is called under `seed`, and what it builds is the start. A module
        is the start itself: its weights must not have seen the sample.
    data : object
        As in `certify`.
    pretrained : path or state dict, optional
        Weights and buffers to start from, which you thereby declare not to have seen the bound's sample.
    prefix, entry, trust_pickle
        As in `certify`, for `pretrained`.
    adapt : sequence of str
        Names of the parameters that may change, with ``*`` and ``?``; the others keep their start. Part of the model:
        fixed before the data is seen.
    parametrisation : mapping, optional
        Kind and whole numbers of a map from coordinates to those parameters, as `Parametrisation.describe` gives
        them: ``{"kind": "full"}`` by default, ``{"kind": "random subspace", "dimension": 500, "seed": 0}``,
        ``{"kind": "lora", "rank": 2, "seed": 0}``, ... All of it is paid for, so it may be chosen by the data.
    training : CompressionTraining, optional
        How the coordinates are trained and quantised; it may be chosen by the data, for what it leads to is paid for.
    variant : int
        Number of this model in a list of models that was fixed before the data was seen, from 1. Its Elias code is
        paid for: about 2 log2(variant) bits buy the choice among architectures.
    roles : Roles or mapping of str to indices, optional
        Which examples are ``bound`` and ``test``. By default the data's own test part, if it has one, is ``test``,
        and all the rest ``bound``.
    delta : float
        Probability that the certificate may fail, in (0, 1).
    holdout : bool
        Also train the network, unquantised, on one half of the sample and test it on the other, to compare with; it
        takes about half the time of the certificate.
    seed : int
        Seed of everything. It is in the message, so that seeds may be tried.
    device, dtype : torch.device or str, torch.dtype
        Where and in what type the model is evaluated.
    out : str or Path, optional
        Folder for ``certificate.json`` and ``message.bin``, and ``start.safetensors`` if `pretrained` is given.
    progress : bool
        Show bars on a terminal.

    Returns
    -------
    Certificate
        Headline ``pac_bayes.occam_binomial`` about the decoded network; its ``code`` says how many bits went where.

    Raises
    ------
    ModelError
        If the model's buffers may have seen the bound's sample, or its output is not a function of the example alone.
    ValueError
        If an argument is impossible, or the data changes when it is read again.
    """
    training = training or CompressionTraining()
    whole("seed", seed), whole("variant", variant, lowest=1)  # both will be in the message
    run = gather(
        model,
        data,
        prior="zero",
        needs="learnt",
        initial=_own_state(model, pretrained),
        prefix=prefix,
        entry=entry,
        trust_pickle=trust_pickle,
        roles=roles,
        seed=seed,
        device=device,
        dtype=dtype,
    )
    source, module, bound, n = run.source, run.networks.module, run.bound, len(run.bound)
    occam_binomial(0, 0.0, n, delta)  # an impossible delta is refused before hours of training
    apply_state(module, run.networks.start)
    if pretrained is None and isinstance(model, nn.Module) and (buffers := stateful_buffers(module)):
        raise ModelError(
            f"buffers must not have seen the bound's sample, got {', '.join(buffers)}: they are no part of the code. "
            "Pass a factory that builds the model anew, or the state as pretrained if it saw other data only."
        )
    run.check()
    start = _adapted(run.networks, adapt)
    mapped = rebuild(parametrisation or {"kind": "full"}, start)
    how: dict[str, Any] = {"device": device, "dtype": dtype, "progress": progress}

    def errors(weights: Mapping[str, Tensor], indices: NDArray[np.int64]) -> int:
        own = {name: value.to(device, dtype) for name, value in weights.items()}
        return count_errors(module, source, indices, weights=own, **how)

    coordinates = train_coordinates(module, mapped, source, bound, training, seed=seed, **how)
    codebook, symbols = quantise(module, mapped, coordinates, source, bound, training, seed=seed, **how)
    message = encode(QuantisedNetwork(Header(mapped.describe(), seed, variant), codebook, symbols))
    # From here on the network is the decoded one, and nothing else.
    decoded = decode(message.content, start).weights(start)

    checked = _CHECKED | ({Assumption.PREDICTOR_INDEPENDENT_OF_SAMPLE} if run.networks.initial_drawn_here else set())
    statuses = run.statuses(checked)
    paid = {"errors": errors(decoded, bound), "code_length": code_length(message.bits), "n": n, "delta": delta}
    comparisons: tuple[Comparison, ...] = ()
    if holdout:
        kept, tested = in_halves(bound, seed)
        weights = _trained(module, mapped, source, kept, training, seed, how)
        what = f"The network, not quantised, trained on {len(kept)} examples of the bound, tested on {len(tested)}."
        comparisons = (holdout_comparison(errors(weights, tested), len(tested), delta, what, statuses),)
    estimates, test = [], run.roles.indices("test")
    if len(test):
        before = {name: value.detach() for name, value in mapped.weights(coordinates).items()}
        for id, what, weights in (
            ("test error", "Error of the decoded network on test data.", decoded),
            ("test error before quantisation", "Error of the network before it was quantised, on test data.", before),
        ):
            estimates.append(error_estimate(id, what, errors(weights, test), len(test)))
    certificate = Certificate(
        headline=HEADLINE,
        claims=(state("pac_bayes.occam_binomial", HEADLINE, paid, assumptions=statuses),),
        ledger=Ledger(delta, (LedgerEntry(HEADLINE, delta),)),
        sample=run.sample(),
        model=run.model(sum(value.numel() for value in module.parameters()))
        | {"weights_sha256": state_sha256(decoded), "pretrained": pretrained is not None, "adapt": list(adapt)},
        prior=None,
        posterior=None,
        draws=None,
        comparisons=comparisons,
        estimates=tuple(estimates),
        notes=run.notes(),
        versions=run.versions,
        code={
            "parts": message.parts,
            "bits": message.bits,
            "sha256": message.sha256,
            "variant": variant,
            "seed": seed,
            "parametrisation": mapped.describe(),
            "coordinates": mapped.dimension,
            "levels": codebook.levels.tolist(),
            "training": dataclasses.asdict(training),
        },
    )
    if out is not None:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "message.bin").write_bytes(message.content)
        if pretrained is not None:
            save_state(run.networks.start, folder / "start.safetensors")
        certificate.save(folder / "certificate.json")
    return certificate


def _own_state(model: Any, pretrained: State | None) -> State | None:
    """Return the state to start from: a module that is passed is its own."""
    return model.state_dict() if pretrained is None and isinstance(model, nn.Module) else pretrained


def _adapted(networks: Networks, patterns: Sequence[str]) -> dict[str, Tensor]:
    """Return the start of the parameters that may change."""
    names = [name for name, _ in networks.module.named_parameters()]
    if isinstance(patterns, str) or not patterns:
        raise ValueError(f"adapt must be a list of at least one name or pattern, got {patterns!r}. Take ['*'] for all.")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"adapt must name parameters of the model, got {pattern!r}. They are {', '.join(names)}.")
    return {name: networks.start[name] for name in names if any(fnmatchcase(name, each) for each in patterns)}


def _trained(
    module: nn.Module,
    mapped: Parametrisation,
    data: Data,
    indices: NDArray[np.int64],
    training: CompressionTraining,
    seed: int,
    how: Mapping[str, Any],
) -> dict[str, Tensor]:
    """Train unquantised weights for as long as the quantised ones are."""
    longer = dataclasses.replace(training, epochs=training.epochs + training.quantised_epochs)
    coordinates = train_coordinates(module, mapped, data, indices, longer, seed=seed, **how)
    return {name: value.detach() for name, value in mapped.weights(coordinates).items()}


def load_compressed(folder: str | Path, model: nn.Module | Callable[..., nn.Module] | str | Path) -> nn.Module:
    """Load the network that a certificate is about: decode its message.

    Parameters
    ----------
    folder : str or Path
        Folder that `certify_compressed` wrote.
    model : nn.Module, callable, str or Path
        The architecture, as there.

    Returns
    -------
    nn.Module
        In evaluation mode, in the type that was certified, on the CPU.

    Raises
    ------
    ValueError
        If message, start or weights are not those of the certificate.
    """
    folder = Path(folder)
    certificate = Certificate.load(folder / "certificate.json")
    code, described = certificate.code, certificate.model
    if code is None or "bits" not in code:
        raise ValueError(f"{folder.name} must hold a certificate by code length. Take load_predictor for others.")
    content = (folder / "message.bin").read_bytes()
    if (found := sha256(content).hexdigest()) != code["sha256"]:
        raise ValueError(f"message.bin must have the fingerprint {code['sha256'][:12]}..., got {found[:12]}...")
    pretrained = folder / "start.safetensors" if described["pretrained"] else None
    seed, initial = read_header(content).seed, _own_state(model, pretrained)
    networks = gather_networks(model, None, initial, prior="learnt", seed=seed)
    # Also what is not adapted, and the buffers: the message does not speak of them.
    if (found := state_sha256(networks.start)) != described["initial_sha256"]:
        raise ValueError(
            f"the start must have the fingerprint {described['initial_sha256'][:12]}..., got {found[:12]}... Take the "
            "same model and start.safetensors, and the version of torch that certified it."
        )
    apply_state(networks.module, networks.start)
    start = _adapted(networks, described["adapt"])
    network = decode(content, start)
    if (bits := encode(network).bits) != code["bits"]:
        raise ValueError(f"message.bin must have {code['bits']:,} bits, as the certificate says, got {bits:,}.")
    weights = network.weights(start)
    if (found := state_sha256(weights)) != described["weights_sha256"]:
        raise ValueError(
            f"the message must decode to weights with the fingerprint {described['weights_sha256'][:12]}..., got "
            f"{found[:12]}... Take the same model, and the version of torch that certified it."
        )
    module = networks.module.to(getattr(torch, described["dtype"]))
    module.load_state_dict(weights, strict=False)
    check_evaluation_mode(module)
    return module
