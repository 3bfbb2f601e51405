"""What was seen of the routers of a model, compactly: all metrics of this room need this record and no model."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["RoutedLayer", "Routing", "count_pairs", "read_routing"]

_FORMAT = "genbounds routing 1"
#: How far the gates of a sample may be from summing to 1, and an entropy beyond ln K, for float32.
_ROUNDING = 1e-4

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RoutedLayer:
    """One router, and what it did with the kept tokens of n samples. K experts, k of them executed for a token.

    Arrays with a row for each token have the samples' kept tokens one after the other, as `Routing.lengths` says.

    Attributes
    ----------
    name : str
        Of the router's module in the model.
    number : int
        Of the layer, as its name says: dense layers count, so numbers need not be consecutive.
    gate : {"softmax", "sigmoid", "probabilities"}
        How gates come from the router: softmax of logits; logistic scores, divided by their sum; or the router's
        outputs were probabilities already.
    mean_gates : ndarray of float32, shape (n, K)
        Mean over the kept tokens of a sample of the full vector of gates; rows sum to 1.
    counts : ndarray of int64, shape (n, K)
        For how many kept tokens of a sample each expert was executed.
    entropy : ndarray of float64, shape (n,)
        Mean over the kept tokens of a sample of the entropy of the gates, in nats; at most ln K.
    ties : ndarray of int64, shape (n,)
        At how many kept tokens of a sample an executed expert and one that was not had the same gate, so that the
        choice was arbitrary.
    pair_counts : ndarray of int64, shape (K, K), or None
        For how many kept tokens of all samples two experts were executed together; on the diagonal, for how many each
        was.
    router : ndarray of float32, shape (K, d), or None
        Weights of the router, a row for each expert, where it is linear.
    bias : ndarray of float32, shape (K,), or None
        Its bias, if it has one; a bias that only chooses experts (DeepSeek-V3's correction) included.
    selected : ndarray of int16, shape (tokens, k), or None
        Executed experts of each token, the largest weight first; -1 where the capacity of experts left none.
    weights : ndarray of float32, shape (tokens, k), or None
        The weights with which their outputs were summed; 0 beside -1.
    gates : ndarray of float32, shape (tokens, K), or None
        The full vectors of gates.

    Raises
    ------
    ValueError
        If shapes disagree, gates are no probabilities, an entropy is beyond ln K, or an expert is out of range.
    """

    name: str
    number: int
    gate: Literal["softmax", "sigmoid", "probabilities"]
    mean_gates: Floats
    counts: NDArray[np.int64]
    entropy: NDArray[np.float64]
    ties: NDArray[np.int64]
    pair_counts: NDArray[np.int64] | None = None
    router: Floats | None = None
    bias: Floats | None = None
    selected: NDArray[np.int16] | None = None
    weights: Floats | None = None
    gates: Floats | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
        shape = self.mean_gates.shape
        if len(shape) != 2 or not all(shape):
            raise self._error("mean_gates", "a row for each sample and a column for each expert", f"shape {shape}")
        n, experts = shape
        wanted: dict[str, tuple[int | None, ...]] = {
            "counts": (n, experts),
            "entropy": (n,),
            "ties": (n,),
            "pair_counts": (experts, experts),
            "router": (experts, None),
            "bias": (experts,),
        }
        for name, sizes in wanted.items():
            value = getattr(self, name)
            if value is not None and not _fits(value.shape, sizes):
                raise self._error(name, f"of shape {sizes} for mean_gates of shape {shape}", f"shape {value.shape}")
        self._check_tokens()
        for name in ("mean_gates", "gates"):
            rows = getattr(self, name)
            if rows is not None and not (
                (rows >= 0).all() and (np.abs(rows.sum(axis=1, dtype=np.float64) - 1) <= _ROUNDING).all()
            ):
                raise self._error(name, "probabilities in each row", "numbers below 0, NaN, or another sum than 1")
        if not ((self.entropy >= 0) & (self.entropy <= np.log(experts) + _ROUNDING)).all():
            raise self._error(
                "entropy", f"in [0, ln {experts}]", f"{self.entropy.min():.6g} to {self.entropy.max():.6g}"
            )

    def _check_tokens(self) -> None:
        sizes = {
            name: value.shape for name in ("selected", "weights", "gates") if (value := getattr(self, name)) is not None
        }
        if any(len(shape) != 2 for shape in sizes.values()) or len({shape[0] for shape in sizes.values()}) > 1:
            raise self._error("selected, weights and gates", "of two dimensions with a row for each token", f"{sizes}")
        if (self.selected is None) != (self.weights is None) or sizes.get("selected") != sizes.get("weights"):
            raise self._error("selected and weights", "given together with the same shape", f"{sizes}")
        if sizes.get("gates", (0, self.experts))[1] != self.experts:
            raise self._error("gates", f"of {self.experts} columns", f"shape {sizes['gates']}")
        if self.selected is not None and not ((self.selected >= -1) & (self.selected < self.experts)).all():
            raise self._error("selected", f"in [-1, {self.experts})", f"{self.selected.min()} to {self.selected.max()}")

    def _error(self, what: str, wanted: str, got: str) -> ValueError:
        return ValueError(f"{what} must be {wanted}, got {got} in the layer {self.name}. Capture it again.")

    @property
    def experts(self) -> int:
        """Number of experts, K."""
        return int(self.mean_gates.shape[1])

    def of_samples(self, samples: NDArray[np.intp], tokens: NDArray[np.intp]) -> "RoutedLayer":
        """Return the layer with some samples only.

        Parameters
        ----------
        samples : ndarray of int, shape (m,)
            Which samples.
        tokens : ndarray of int
            Which tokens, theirs.

        Returns
        -------
        RoutedLayer
            Without `pair_counts` if no tokens were kept to count them again.
        """
        by_token = {
            name: getattr(self, name)[tokens]
            for name in ("selected", "weights", "gates")
            if getattr(self, name) is not None
        }
        by_sample = {name: getattr(self, name)[samples] for name in ("mean_gates", "counts", "entropy", "ties")}
        selected = by_token.get("selected")
        pairs = None if selected is None else count_pairs(selected, self.experts)
        return replace(self, **by_sample, **by_token, pair_counts=pairs)


def _fits(shape: tuple[int, ...], sizes: tuple[int | None, ...]) -> bool:
    """Whether an array is as large as wanted; None stands for any size."""
    return len(shape) == len(sizes) and all(
        wanted is None or got == wanted for got, wanted in zip(shape, sizes, strict=True)
    )


def count_pairs(selected: NDArray[np.integer[Any]], experts: int) -> NDArray[np.int64]:
    """Count for how many tokens two experts were executed together.

    Parameters
    ----------
    selected : ndarray of int, shape (tokens, k)
        Executed experts of each token, each at most once; -1 for none.
    experts : int
        Number of experts, K.

    Returns
    -------
    ndarray of int64, shape (K, K)
        Symmetric; on the diagonal, for how many tokens each was executed.

    Examples
    --------
    >>> count_pairs(np.array([[0, 2], [2, 1], [1, -1]]), 3).tolist()
    [[1, 0, 1], [0, 2, 1], [1, 1, 2]]
    """
    pairs = np.zeros((experts, experts), np.int64)
    for one, two in itertools.product(selected.T.astype(np.intp), repeat=2):
        both = (one >= 0) & (two >= 0)
        pairs += np.bincount(one[both] * experts + two[both], minlength=pairs.size).reshape(pairs.shape)
    return pairs


@dataclass(frozen=True, eq=False)
class Routing:
    """How n samples were routed through the layers of a model, at one moment of its training.

    Attributes
    ----------
    layers : tuple of RoutedLayer
        In the order in which they are executed; at least one.
    lengths : ndarray of int64, shape (n,)
        Kept tokens of each sample: padding is none, nor is a position that was not asked for. At least 1.
    token_ids : ndarray of int32, shape (tokens,), or None
        The kept tokens, where inputs were token ids and tokens were to be kept.
    values : dict of str to ndarray of float64, shape (n,)
        What else was measured of each sample in the same pass, such as ``loss`` and ``correct``.
    name : str
        Of the checkpoint or the moment.
    epoch, step : int or None
        How many epochs and steps had been taken, as far as it is known.
    provenance : dict of str to str
        Class of the model, versions, device and dtype, and whatever the reader should know of the capture.
    warnings : tuple of str
        What makes the record worth less than it looks.

    Raises
    ------
    ValueError
        If there is no layer or no sample, or the sizes of the parts disagree.
    """

    layers: tuple[RoutedLayer, ...]
    lengths: NDArray[np.int64]
    token_ids: NDArray[np.int32] | None = None
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    name: str = ""
    epoch: int | None = None
    step: int | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers must be at least one, got none. Does the model have a router? Name its module.")
        self.lengths.setflags(write=False)
        n = len(self.lengths)
        if not n or (self.lengths < 1).any():
            raise ValueError(
                f"lengths must be at least 1 for at least one sample, got {self.lengths}. Leave out samples without a "
                "token that counts."
            )
        tokens = int(self.lengths.sum())
        sizes = {f"layer {layer.name}": (len(layer.mean_gates), n) for layer in self.layers}
        sizes |= {f"values of {name}": (len(values), n) for name, values in self.values.items()}
        sizes |= {
            f"tokens of layer {layer.name}": (len(rows), tokens)
            for layer in self.layers
            for rows in (layer.selected, layer.gates)
            if rows is not None
        }
        if self.token_ids is not None:
            sizes["token_ids"] = (len(self.token_ids), tokens)
        wrong = [f"{got} for {wanted} in {name}" for name, (got, wanted) in sizes.items() if got != wanted]
        if wrong:
            raise ValueError(
                f"parts of a routing must be of the same samples, got {'; '.join(wrong)}. Capture it again."
            )

    def __len__(self) -> int:
        """Return the number of samples, n."""
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        """Number of kept tokens of all samples."""
        return int(self.lengths.sum())

    @property
    def sample_of_token(self) -> NDArray[np.intp]:
        """Which sample each kept token belongs to, shape (tokens,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def of_samples(self, samples: ArrayLike) -> "Routing":
        """Return the routing of some samples only.

        Parameters
        ----------
        samples : array_like of int or bool
            Their positions, or a mask over all.

        Returns
        -------
        Routing
            In the order asked for.
        """
        wanted = np.arange(len(self))[np.asarray(samples)]
        starts = np.cumsum(self.lengths) - self.lengths
        tokens = np.concatenate([np.arange(starts[i], starts[i] + self.lengths[i]) for i in wanted])
        return replace(
            self,
            layers=tuple(layer.of_samples(wanted, tokens) for layer in self.layers),
            lengths=self.lengths[wanted],
            token_ids=None if self.token_ids is None else self.token_ids[tokens],
            values={name: values[wanted] for name, values in self.values.items()},
        )

    def save(self, path: str | Path) -> None:
        """Write one compressed file, which `read_routing` reads without a model and without running code.

        Parameters
        ----------
        path : str or Path
            Ending in ``.npz``.

        Raises
        ------
        ValueError
            If it ends in something else.
        """
        path = Path(path)
        if path.suffix != ".npz":
            raise ValueError(f"path must end in .npz, got {path.name!r}. Rename it.")
        arrays: dict[str, Any] = {"lengths": self.lengths}
        if self.token_ids is not None:
            arrays["token_ids"] = self.token_ids
        arrays |= {f"value {name}": values for name, values in self.values.items()}
        header: dict[str, Any] = {"format": _FORMAT, "layers": []}
        header |= {name: getattr(self, name) for name in ("name", "epoch", "step", "warnings")}
        header["provenance"] = dict(self.provenance)
        for place, layer in enumerate(self.layers):
            plain = {}
            for each in fields(layer):
                value = getattr(layer, each.name)
                if isinstance(value, np.ndarray):
                    arrays[f"layer {place} {each.name}"] = value
                elif value is not None:
                    plain[each.name] = value
            header["layers"].append(plain)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)


def read_routing(path: str | Path) -> Routing:
    """Read what `Routing.save` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Routing
        With the same arrays.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is something else, or was damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header.pop("format") != _FORMAT:
            raise ValueError(f"the format is not {_FORMAT!r}")
        layers = []
        for place, plain in enumerate(header.pop("layers")):
            start = f"layer {place} "
            mine = {name.removeprefix(start): arrays.pop(name) for name in list(arrays) if name.startswith(start)}
            layers.append(RoutedLayer(**plain, **mine))
        values = {name.removeprefix("value "): arrays.pop(name) for name in list(arrays) if name.startswith("value ")}
        header["warnings"] = tuple(header["warnings"])
        return Routing(tuple(layers), values=values, **arrays, **header)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive fails in many ways
        raise ValueError(
            f"path must be a routing that save wrote, got {path.name} ({type(error).__name__}: {error}). Capture it "
            "again."
        ) from error
