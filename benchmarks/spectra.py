"""Spectra of weight matrices beside WeightWatcher: time with all fits on, numbers where both are right.

    OMP_NUM_THREADS=1 python benchmarks/spectra.py

The peer is ``pip install weightwatcher==0.7.7``; without it our own times are shown. One thread, CPU seconds. Both fit
a power law and a Marchenko-Pastur bulk and compare with permuted entries; ours permutes twice, for a spread, and
simulates 999 tails for each test against the log-normal.
"""

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from genbounds.measures import fit_power_law, layer_spectra, weight_layers

try:
    with contextlib.redirect_stdout(io.StringIO()):
        import weightwatcher
except ImportError:
    weightwatcher = None


def mlp() -> nn.Sequential:
    """Return 784-1024-1024-10 with normal weights, 1.9 million of them."""
    model = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.normal_(0, layer.weight.shape[1] ** -0.5)
            layer.bias.zero_()
    return model


def convolutional() -> nn.Sequential:
    """Return the convolutions of a residual network of 20 layers with its two shortcuts, 0.27 million weights."""
    widths = [3, *[16] * 7, *[32] * 6, *[64] * 6]
    layers: list[nn.Module] = [nn.Conv2d(a, b, 3, bias=False) for a, b in pairwise(widths)]
    return nn.Sequential(*layers, nn.Conv2d(16, 32, 1), nn.Conv2d(32, 64, 1), nn.Linear(64, 10))


def rescaled(model: nn.Sequential, generator: np.random.Generator) -> nn.Sequential:
    """Multiply hidden units by numbers with heavy tails, and divide in the next layer: the same function."""
    linear = list(model[::2])
    with torch.no_grad():
        for first, second in pairwise(linear):
            factors = torch.from_numpy((1 - generator.random(len(first.weight))) ** -0.4).float()
            first.weight.mul_(factors[:, None])
            second.weight.div_(factors)
    return model


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return CPU seconds and the result, its printing swallowed."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        found = work()
        return time.process_time() - start, found


def times(console: Console) -> None:
    """Compare times with everything on."""
    table = Table(title="CPU seconds, one thread")
    for name in ("network", "ours", "the peer", "ratio"):
        table.add_column(name, justify="right")
    for name, build in {"MLP": mlp, "residual network": convolutional}.items():
        model = build()
        ours, _ = seconds(lambda model=model: layer_spectra(weight_layers(model), shuffles=2))
        if weightwatcher is None:
            table.add_row(name, f"{ours:.2f}", "not installed", "")
            continue
        watcher = weightwatcher.WeightWatcher(model=model, log_level="ERROR")
        theirs, _ = seconds(lambda watcher=watcher: watcher.analyze(mp_fit=True, randomize=True))
        table.add_row(name, f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.1f}")
    console.print(table)


def numbers(console: Console) -> None:
    """Compare numbers on linear layers, before and after a rescaling that keeps the function."""
    table = Table(title="The same matrices: ours / the peer's")
    for name in ("network", "layer", "|W|²", "stable rank", "log |W|_F²", "alpha", "its tail", "alpha, their tail"):
        table.add_column(name, justify="right")
    inputs = torch.randn(50, 784, generator=torch.Generator().manual_seed(1))
    first = mlp()
    with torch.no_grad():
        before = first(inputs)
    for name in ("as drawn", "neurons rescaled"):
        model = first if name == "as drawn" else rescaled(first, np.random.default_rng(0))
        with torch.no_grad():
            change = float((model(inputs) - before).abs().max() / before.abs().max())
        frame = None
        if weightwatcher is not None:
            watcher = weightwatcher.WeightWatcher(model=model, log_level="ERROR")
            _, frame = seconds(watcher.analyze)
        for place, layer in enumerate(layer_spectra(weight_layers(model))[:2]):
            law = layer.power_law
            assert law is not None
            values = torch.linalg.svdvals(model[2 * place].weight.detach().double()).square().numpy()
            log_norm = float(np.log10(values.sum()))
            cells = [layer.largest, layer.stable_rank, log_norm, law.alpha, law.tail]
            same = ""
            if frame is not None:
                row = frame.iloc[place]
                theirs = [row.lambda_max, row.stable_rank, row.log_norm, row.alpha, row.num_pl_spikes]
                shown = [f"{a:.5g} / {b:.5g}" for a, b in zip(cells, theirs, strict=True)]
                # The exponent on the peer's own tail, by the formula that both use.
                tail = np.sort(values)[-int(row.num_pl_spikes) :]
                same = f"{1 + len(tail) / np.log(tail / tail[0]).sum():.5g} / {row.alpha:.5g}"
            else:
                shown = [f"{a:.5g}" for a in cells]
            table.add_row(f"{name} (outputs change by {change:.0e})", layer.name, *shown, same)
    console.print(table)


def truth(console: Console) -> None:
    """Compare both fits with a known exponent."""
    table = Table(title="Exponent 3 with 1,000 numbers, mean and spread over ten draws")
    for name in ("fit", "alpha"):
        table.add_column(name, justify="right")
    draws = [(1 - np.random.default_rng(k).random(1000)) ** -0.5 for k in range(10)]
    ours = [fit_power_law(draw, np.random.default_rng(0), simulations=9).alpha for draw in draws]
    table.add_row("ours", f"{np.mean(ours):.3f} ± {np.std(ours):.3f}")
    if weightwatcher is not None:
        # A diagonal matrix whose squares are the numbers.
        theirs = []
        for draw in draws:
            layer = nn.Linear(1000, 1000, bias=False)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(np.diag(draw**0.5)))
            watcher = weightwatcher.WeightWatcher(model=nn.Sequential(layer), log_level="ERROR")
            theirs.append(float(seconds(watcher.analyze)[1].alpha.iloc[0]))
        table.add_row("the peer's", f"{np.mean(theirs):.3f} ± {np.std(theirs):.3f}")
    console.print(table)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for part in (times, numbers, truth):
        part(Console(width=150))
