"""Influence on handwritten digits: ``python benchmarks/influence.py``, about a minute on one thread.

A network 64-128-10 is trained on 1,000 digits of which 50 have wrong labels; influence is that on the mean loss of the
other 797. The exact solution of the damped Gauss-Newton system is compared with EK-FAC (extra ``curvature``) and with
leaving the curvature out, and each ranking is asked for the wrong labels. Then the head's Hessians of the right and of
the wrong labels' examples are compared.
"""

import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.coherence import Influence, hessian_alignment, influence
from genbounds.models import load_data
from genbounds.models.randomness import stream

WRONG = 50


def digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], set[int]]:
    """Return training and test digits, and which training labels are wrong."""
    data = load_data("digits")
    order = torch.randperm(1797, generator=stream(0, "order"))
    _, x, y = next(data.batches(order, 1797))
    x = x.flatten(1)
    wrong = torch.randperm(1000, generator=stream(0, "wrong"))[:WRONG]
    y[wrong] = (y[wrong] + torch.randint(1, 10, (WRONG,), generator=stream(0, "labels"))) % 10
    return (x[:1000], y[:1000]), (x[1000:], y[1000:]), set(wrong.tolist())


def trained(x: Tensor, y: Tensor) -> nn.Module:
    """Return a network after 60 epochs of Adam."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(60):
        for part in torch.randperm(len(x), generator=stream(0, "epoch", epoch)).split(50):
            optimizer.zero_grad()
            F.cross_entropy(model(x[part]), y[part]).backward()
            optimizer.step()
    return model.eval()


def main() -> None:
    """Print the tables."""
    train, test, wrong = digits()
    model = trained(*train)
    console = Console()
    table = Table(
        title=f"1,000 digits, {WRONG} wrong labels, {sum(p.numel() for p in model.parameters()):,} parameters"
    )
    columns = ("damping", "curvature", "seconds", "products", "residual", "correlation", "rank correlation")
    for column in (*columns, f"wrong among {WRONG} most harmful"):
        table.add_column(column, justify="right")
    mean = influence(model, F.cross_entropy, train, test).damping / 0.1
    # So large a damping leaves nothing of the curvature: inner products of gradients, over the damping.
    both = ("gauss_newton", "ekfac")
    for share, kinds in ((10.0, both), (0.1, both), (1e6, both[:1])):
        exact: Influence | None = None
        for kind in kinds:
            start = time.perf_counter()
            found = influence(model, F.cross_entropy, train, test, damping=share * mean, curvature=kind)
            seconds = time.perf_counter() - start
            exact = exact or found
            table.add_row(
                f"{share:g} of the mean eigenvalue",
                kind,
                f"{seconds:.2f}",
                str(found.steps),
                f"{found.residuals[0]:.1e}",
                f"{np.corrcoef(exact.influences, found.influences)[0, 1]:.3f}",
                f"{spearmanr(exact.influences, found.influences).statistic:.3f}",
                str(len(wrong & set(found.most_harmful(WRONG).tolist()))),
            )
    console.print(table)
    chosen = torch.tensor([i in wrong for i in range(1000)])
    parts = [(train[0][which], train[1][which]) for which in (~chosen, chosen)]
    console.print(f"Right labels and wrong ones:\n{hessian_alignment(model, *parts)}", highlight=False)


if __name__ == "__main__":
    main()
