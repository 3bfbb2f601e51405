"""What a run starts from: the network before and after training, and the role of every example."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from genbounds.models.checkpoint import load_checkpoint
from genbounds.models.examples import Data
from genbounds.models.exported import load_exported
from genbounds.models.factory import build_model
from genbounds.models.randomness import stream
from genbounds.models.splits import Roles
from genbounds.models.state import apply_state
from genbounds.models.stratification import chance_of_proportions

__all__ = ["Networks", "State", "assign_roles", "build", "gather_networks", "stratification_notes"]

#: Roles that share out all classes more evenly than one random split in a hundred are taken for stratified.
_TOO_EVEN = 0.01

#: Weights, by file or in memory.
State: TypeAlias = str | Path | Mapping[str, Tensor]


@dataclass(frozen=True)
class Networks:
    """The architecture, and its state before and after training where known.

    Parameters
    ----------
    module : nn.Module
        In evaluation mode; holds the trained state where there is one, else the initial one.
    name : str
        What a reader would call the architecture.
    trained, initial : mapping of str to Tensor, or None
        Parameters and buffers, on the CPU.
    initial_drawn_here : bool
        Whether the initial weights were drawn here, from the seed alone, and so cannot have seen any data: a factory
        that gives other weights under another seed does not load them from somewhere.
    """

    module: nn.Module
    name: str
    trained: dict[str, Tensor] | None
    initial: dict[str, Tensor] | None
    initial_drawn_here: bool

    @property
    def start(self) -> dict[str, Tensor]:
        """The initial state, which priors that need it have made sure of."""
        if self.initial is None:
            raise ValueError("initial must be given: there is no state that training started from.")
        return self.initial


def build(model: nn.Module | Callable[..., nn.Module] | str | Path, *, trust_pickle: bool = False) -> nn.Module:
    """Build an architecture, apart from whatever the caller holds.

    Parameters
    ----------
    model : nn.Module, callable, str or Path
        A module, which is copied, a factory, a factory's name, or a ``.pt2`` file written by ``torch.export``.
    trust_pickle : bool
        Allow a file that executes code when it is read.

    Returns
    -------
    nn.Module
        The module.
    """
    if isinstance(model, nn.Module):
        # What a hook computed from parameters (pruning, older weight norms) stands in the way of copying.
        held = (value for part in model.modules() for value in vars(part).values() if isinstance(value, Tensor))
        return copy.deepcopy(model, {id(value): value.detach().clone() for value in held if not value.is_leaf})
    if str(model).endswith(".pt2"):
        return load_exported(Path(str(model)), trust_pickle=trust_pickle)
    return build_model(model)  # type: ignore[arg-type]


def gather_networks(
    model: nn.Module | Callable[..., nn.Module] | str | Path,
    checkpoint: State | None,
    initial: State | None,
    *,
    prior: str,
    seed: int,
    prefix: str = "",
    entry: str = "",
    trust_pickle: bool = False,
) -> Networks:
    """Build the architecture and load its states.

    Parameters
    ----------
    model : nn.Module, callable, str or Path
        A module, a factory, a factory's name, or a ``.pt2`` file written by ``torch.export``.
    checkpoint, initial : path, state dict or None
        Trained and initial weights.
    prior : str
        Kind of prior, which says what is needed.
    seed : int
        Seed under which a factory is called.
    prefix : str
        Prefix of the parameters' names in the checkpoint, such as ``model.``.
    entry : str
        Entry of the checkpoint that holds the weights, if it holds several.
    trust_pickle : bool
        Allow a checkpoint that executes code when it is read.

    Returns
    -------
    Networks
        The states that could be had.

    Raises
    ------
    ValueError
        If a state that the prior needs is missing.
    """

    def read(state: State) -> Mapping[str, Tensor]:
        if isinstance(state, Mapping):
            return state
        return load_checkpoint(state, prefix=prefix, entry=entry, trust_pickle=trust_pickle).state

    def loaded(state: State) -> dict[str, Tensor]:
        apply_state(module, read(state))
        return _snapshot(module)

    def built(number: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(stream(seed, "initialisation", number).initial_seed())
            return build(model, trust_pickle=trust_pickle)

    module = built(0)
    built_here = not isinstance(model, nn.Module) and not str(model).endswith(".pt2")
    own = _snapshot(module)
    # Before any state is loaded: a factory may return the same module again.
    drawn = built_here and initial is None and _all_drawn(own, built(1))
    name = type(module).__name__
    if built_here:  # a file's name without its folder, which is nobody's business
        name = (
            Path(model).name if isinstance(model, str | Path) else getattr(model, "__qualname__", type(model).__name__)
        )
    start = loaded(initial) if initial is not None else own if built_here else None
    trained = loaded(checkpoint) if checkpoint is not None else None if built_here else own
    if prior in ("learnt", "initialisation") and start is None:
        raise ValueError(
            f"initial must be given for the prior {prior!r} when the model is already built. Pass the weights that "
            "training started from, or a factory instead of the module."
        )
    if prior != "learnt" and trained is None:
        raise ValueError(f"checkpoint must be given for the prior {prior!r}: there is no trained network to certify.")
    if trained is not None:
        apply_state(module, trained)
    return Networks(module.eval(), name, trained, start, drawn)


def _all_drawn(own: Mapping[str, Tensor], other: nn.Module) -> bool:
    """Whether the values that do not change with the seed are one constant a parameter, or a few coincidences."""
    for name, value in other.named_parameters():
        kept = own[name][own[name] == value.detach().cpu()]
        if len(kept) > 0.02 * value.numel() and bool((kept != kept[0]).any()):
            return False
    return True


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


def assign_roles(
    data: Data, roles: Roles | Mapping[str, ArrayLike] | None, *, prior: str, prior_fraction: float, seed: int
) -> Roles:
    """Return the role of every example.

    Parameters
    ----------
    data : Data
        The examples.
    roles : Roles, mapping of str to indices, or None
        Given roles; None splits at random.
    prior : str
        Kind of prior: a learnt one takes examples.
    prior_fraction : float
        Share of the examples for a learnt prior.
    seed : int
        Seed of the split.

    Returns
    -------
    Roles
        With at least one example for the bound, and for a learnt prior one at least for the prior.

    Raises
    ------
    ValueError
        If a role that is needed is empty.
    """
    if isinstance(roles, Mapping):
        roles = Roles.from_indices(len(data), roles)
    elif roles is None:
        fixed = {"test": list(data.parts["test"])} if "test" in data.parts else {}
        fractions = {"prior": prior_fraction, "bound": 1 - prior_fraction} if prior == "learnt" else {"bound": 1.0}
        roles = Roles.random(len(data), fractions, seed, fixed=fixed)
    if len(roles) != len(data):
        raise ValueError(f"roles must cover the {len(data)} examples of the data, got {len(roles)}. Use the same data.")
    for role in ("prior", "bound") if prior == "learnt" else ("bound",):
        if not roles.count(role):
            raise ValueError(f"roles must give examples to {role!r}, got none. Split the data anew.")
    return roles


def stratification_notes(data: Data, roles: Roles) -> tuple[str, ...]:
    """Say so if given roles look like a stratified split, which voids independence; nobody can see how they were made.

    Parameters
    ----------
    data : Data
        The examples.
    roles : Roles
        Their roles, as given by the user.

    Returns
    -------
    tuple of str
        A sentence for the certificate's notes, or nothing.
    """
    classes = data.targets
    if classes is None:
        classes = torch.cat([targets for _, _, targets in data.batches(range(len(data)), 512)])
    chance = chance_of_proportions(classes.cpu().numpy(), roles)
    if chance >= _TOO_EVEN:
        return ()
    return (
        "The roles prior and bound share out every class in proportion, as a stratified split does and a random one "
        f"does with probability {chance:.1g}: the examples of the bound are then not independent.",
    )
