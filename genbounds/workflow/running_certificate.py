"""A bound on the risk of a network at every measurement along its training, all of them at once, on held-out data."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch import distributed as dist

from genbounds.certificates.ledger import Ledger, LedgerEntry, share
from genbounds.models.data import load_data
from genbounds.models.guards import (
    check_deterministic,
    check_examples_do_not_mix,
    check_logits,
    check_repeatable_data,
    infer_device_and_dtype,
)
from genbounds.models.passes import block_size, predict
from genbounds.models.splits import Roles
from genbounds.models.state import state_sha256
from genbounds.models.training.journal import Journal, fingerprint
from genbounds.models.training.monitor import Monitor
from genbounds.models.training.untouched import untouched
from genbounds.numerics.checks import confidence, count
from genbounds.pac_bayes.holdout import clopper_pearson

__all__ = ["HeldOutBound", "RunningCertificate", "measurement_budget"]

#: Examples that show whether the network is a fixed function of one example.
_PROBE = 32


def measurement_budget(delta: float, number: int, measurements: int | None = None) -> float:
    """Return the part of delta that one of several measurements may spend.

    Parameters
    ----------
    delta : float
        Of all measurements together, in (0, 1).
    number : int
        Which measurement, from 1.
    measurements : int, optional
        How many there are at most, fixed beforehand; any number if left out.

    Returns
    -------
    float
        Rounded down: delta / measurements, or delta / (t (t + 1)) for measurement t. As 1 / (t (t + 1)) is
        1 / t - 1 / (t + 1), the first T of these add up to delta (1 - 1 / (T + 1)), and all of them to delta.

    Raises
    ------
    ValueError
        If the number is beyond the measurements, or an argument is out of range.

    Examples
    --------
    >>> [round(measurement_budget(0.06, number), 6) for number in (1, 2, 3)], measurement_budget(0.06, 3, 4)
    ([0.03, 0.01, 0.005], 0.015)
    """
    confidence("delta", delta)
    place = int(count("number", number))
    if measurements is None:
        return share(delta, place * (place + 1))
    if place > int(count("measurements", measurements)):
        raise ValueError(f"number must be at most {measurements}, as was fixed beforehand, got {place}. Start anew.")
    return share(delta, int(measurements))


@dataclass(frozen=True)
class HeldOutBound:
    """What is known of the network at one measurement.

    Attributes
    ----------
    name : str
        Of the moment.
    epoch, step : int or None
        How many had been taken, as far as it is known.
    number : int
        Which measurement it is, from 1.
    errors, n : int
        Errors on the held-out examples, and their number.
    delta : float
        What this measurement spends.
    bound : float
        Upper bound on the risk of the network at this moment, by `genbounds.pac_bayes.clopper_pearson` at `delta`.
    best_bound : float
        The smallest bound up to here.
    """

    name: str
    epoch: int | None
    step: int | None
    number: int
    errors: int
    n: int
    delta: float
    bound: float
    best_bound: float

    def flat(self) -> dict[str, float]:
        """Return numbers for a logger.

        Returns
        -------
        dict of str to float
            ``bound`` and ``best_bound``, which hold, ``error``, which is an estimate, ``delta`` and ``measurement``.
        """
        numbers = {"bound": self.bound, "best_bound": self.best_bound, "error": self.errors / self.n}
        return numbers | {"delta": self.delta, "measurement": float(self.number)}


class RunningCertificate(Monitor[HeldOutBound]):
    """Bounds the risk of a network every so many steps or epochs of its training, on examples that it never sees.

    Call `step` or `epoch` from your own loop, before the first step and after each one, or hand `lightning` or
    `hugging_face` to a trainer. The network is put into evaluation mode for the measurement and every module back into
    its own; gradients, buffers and random generators are left as they were.

    With probability at least 1 - delta over the held-out examples, the risk of the network at *every* measurement is at
    most the bound then given: stop when you like, and keep the network of the best bound.

    Parameters
    ----------
    model : torch.nn.Module
        The network that trains, a classifier. For a model of Hugging Face a module of token ids around it, such as
        `genbounds.models.hugging_face.TextModel`, or `forward`.
    data : object
        As for `genbounds.certify`, without augmentation.
    roles : mapping of str to array_like of int, optional
        Indices with the role ``bound``, and with the role ``prior`` those that train the network, if they are of the
        same data; an overlap is refused. If left out, all of the data is held out.
    every : int
        Measure at steps (epochs) that are multiples of this.
    delta : float
        Probability with which any of the bounds may fail.
    measurements : int, optional
        How many are made at most: each spends an equal part of delta, and later ones are not made. If left out,
        measurement t spends delta / (t (t + 1)), for as many as there will be.
    path : str or Path, optional
        File of JSON lines, one for each measurement. A training that is resumed goes on in it and in its count: what is
        spent stays spent. So does another training after it, on settings fixed before the first bound was seen.
    forward : callable, optional
        ``forward(model, inputs)`` returns logits; by default ``model(inputs)``.
    batch_size : int, optional
        Examples at a time; no count depends on it.

    Attributes
    ----------
    records : tuple of HeldOutBound
        What was measured so far, in this run and in those that wrote to the file before.

    Raises
    ------
    ValueError
        If the file belongs to other held-out examples, another delta or another number of measurements, or an option is
        out of range.
    ModelError
        While measuring, if the network is no fixed function of one example.

    Notes
    -----
    Networks at different moments are different predictors on the same sample, so that bounds for one predictor on a
    growing sample, such as `genbounds.pac_bayes.coin_betting_kl`, do not cover them. A union does. Let h_t be the
    network at the t-th measurement. If training, and when to measure, are decided without the held-out examples, each
    h_t is independent of them, its bound fails with probability at most delta_t, and any of all bounds fails with
    probability at most sum_t delta_t <= delta. That includes a last measurement chosen by looking: stopping at a good
    bound, or because it rises again, changes which of the h_t are made, and none of them.

    Not covered, for then h_t depends on the held-out examples through earlier bounds, and the union over t does not
    count the networks that could have been: a learning rate, or any setting, that follows the bound; a second training
    with settings chosen by the bounds of a first; measuring more often where the bound is good; going back to the best
    network and training on from it. A learning curve may be watched, and not acted on, but for stopping. The held-out
    examples must be independent draws from one distribution: no copies of training examples, no stratified choice.

    Examples
    --------
    >>> import torch
    >>> x = torch.linspace(-1, 1, 200)[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    >>> data = torch.stack([x, x.square()], 1), (x > 0.5).long()
    >>> roles = {"prior": range(100), "bound": range(100, 200)}
    >>> model = nn.Linear(2, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> certificate = RunningCertificate(model, data, roles, every=50)
    >>> for step in range(101):
    ...     _ = certificate.step(step)
    ...     optimizer.zero_grad()
    ...     nn.functional.cross_entropy(model(data[0][:100]), data[1][:100]).backward()
    ...     optimizer.step()
    >>> [record.name for record in certificate.records], certificate.best.bound < 0.5
    (['step 0', 'step 50', 'step 100'], True)
    >>> float(certificate.ledger.spent) <= 0.05
    True
    """

    subject = "certificate"

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        roles: Mapping[str, ArrayLike] | None = None,
        *,
        every: int = 1,
        delta: float = 0.05,
        measurements: int | None = None,
        path: str | Path | None = None,
        forward: Callable[[nn.Module, Tensor], Tensor] | None = None,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(model, every)
        measurement_budget(delta, 1, measurements)  # before anything takes long
        self.delta, self.measurements, self.forward = float(delta), measurements, forward
        with untouched(model):
            self.data = load_data(data)
            named = {"bound": range(len(self.data))} if roles is None else dict(roles)
            self.held_out = Roles.from_indices(len(self.data), named).indices("bound")
            if not len(self.held_out):
                raise ValueError(f"roles must give examples the role bound, got {', '.join(named)}. Hold some out.")
            check_repeatable_data(self.data, self.held_out)
            self.batch_size = block_size(self.data, self.held_out) if batch_size is None else batch_size
            self._settings = fingerprint({
                "data": self.data.content_sha256(self.held_out),
                "delta": self.delta,
                "measurements": measurements,
            })
        self._journal = Journal(path)
        if any(line["settings"] != self._settings for line in self._journal):
            raise ValueError(
                f"path must be a file of the same held-out examples, delta and measurements, got {path} of others. "
                "What is spent stays spent: name another file only for other held-out examples."
            )
        self.records = tuple(HeldOutBound(**line["record"]) for line in self._journal)

    def _at(self, number: int, name: str, epoch: int | None, step: int | None) -> HeldOutBound | None:
        if self.measurements is not None and len(self.records) >= self.measurements:
            return None
        return super()._at(number, name, epoch, step)

    def _measure(self, name: str, epoch: int | None, step: int | None) -> HeldOutBound:
        number, n, errors = len(self.records) + 1, len(self.held_out), self._errors()
        delta = measurement_budget(self.delta, number, self.measurements)
        bound = float(clopper_pearson(errors, n, delta))
        best = min([bound, *(record.bound for record in self.records)])
        record = HeldOutBound(name, epoch, step, number, errors, n, delta, bound, best)
        state = {key: value for key, value in self.model.state_dict().items() if isinstance(value, Tensor)}
        if not (dist.is_available() and dist.is_initialized() and dist.get_rank() > 0):  # all count, one writes
            self._journal.add({"weights": state_sha256(state), "settings": self._settings, "record": asdict(record)})
        self.records = (*self.records, record)
        return record

    @torch.no_grad()
    def _errors(self) -> int:
        device, dtype = infer_device_and_dtype(self.model)
        how: dict[str, Any] = {"device": device, "dtype": dtype}
        _, inputs, targets = next(self.data.batches(self.held_out[:_PROBE], _PROBE, **how))
        call = self.forward or _call
        check_deterministic(self.model, inputs, call)
        check_examples_do_not_mix(self.model, inputs, call)
        check_logits(call(self.model, inputs), targets)
        batches = self.data.batches(self.held_out, self.batch_size, **how)
        return sum(int((predict(call(self.model, x), index) != y).sum()) for index, x, y in batches)

    @property
    def best(self) -> HeldOutBound:
        """The measurement with the smallest bound, the earliest of several: its network may be the one that is kept."""
        if not self.records:
            raise ValueError("records must hold a measurement, got none. Call step or epoch first.")
        return min(self.records, key=lambda record: record.bound)

    @property
    def ledger(self) -> Ledger:
        """Where delta went so far: an entry for each measurement."""
        entries = tuple(LedgerEntry(f"measurement {record.number}", record.delta) for record in self.records)
        return Ledger(self.delta, entries)


def _call(model: nn.Module, inputs: Tensor) -> Tensor:
    outputs: Tensor = model(inputs)
    return outputs
