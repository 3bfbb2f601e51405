"""Certificates for one deterministic network by the length of its code: MNIST and Fashion-MNIST, all of the data.

    python benchmarks/compression.py [FOLDER] [--data mnist fashion-mnist] [--epochs 40] [--variant ...] [--seed 0]

FOLDER receives ``certificate.json`` and ``message.bin`` per data set, each checkable by `genbounds verify`, with
``--model benchmarks/compression.py:network_N --data DATA`` down to the error count. No prior is learnt and nothing is
held out: all 60,000 training images are trained on and carry the bound (n = 60,000), delta = 0.05. The 10,000 test
images only give the test error. Published: Lotfi et al. (2022), data-free priors, 11.6 % and 32.8 %.

The network has three layers of weights, ternary after training and mostly zero. Which one of `VARIANTS` it is stands in
the message, so that the choice among them is paid for; so do the seed, the levels and every weight. What is not in
the message was not chosen by the data: normalisation for each example by itself, pooling, ReLU, and in most variants a
first layer of derivatives of Gaussians in some directions, of the image as it is or straightened by its own moments.
"""

import argparse
import itertools
import math
import time
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from genbounds.certificates import verify
from genbounds.certificates.statement import printed
from genbounds.models.data import load_data
from genbounds.workflow import CompressionTraining, certify_compressed

PUBLISHED = {"mnist": 0.116, "fashion-mnist": 0.328}

#: Which of `VARIANTS` each data set gets, and the rate of its training: chosen by certificates on it. The first is in
#: the message for that; the second needs not be, for what any training leads to is paid for.
CHOSEN = {"mnist": (25, 0.15), "fashion-mnist": (13, 0.08)}
TARGET = {"mnist": 0.10, "fashion-mnist": 0.30}

#: (first layer, its channels, channels of the two layers after it), in the order of their numbers from 1.
VARIANTS = tuple(itertools.product(("edges", "edges and grey", "straight edges", "learnt"), (8, 4, 12), (8, 12, 6, 16)))


class Straighten(nn.Module):
    """Each image by itself: sheared and shifted until its moments say upright and centred (LeCun et al. 1998)."""

    def forward(self, images: Tensor) -> Tensor:
        """Shear each image by the slope of its own second moments, at most by 45 degrees."""
        axis = torch.linspace(-1, 1, 2 * images.shape[-1] + 1, device=images.device, dtype=images.dtype)[1::2]
        y, x = torch.meshgrid(axis, axis, indexing="ij")

        def mean(values: Tensor) -> Tensor:
            return (images.squeeze(1) * values).sum((1, 2)) / (images.sum((1, 2, 3)) + 1e-6)

        across, down = mean(x), mean(y)
        up = y - down.view(-1, 1, 1)
        slope = (mean((x - across.view(-1, 1, 1)) * up) / (mean(up.square()) + 1e-4)).clamp(-1, 1)
        one, zero = torch.ones_like(slope), torch.zeros_like(slope)
        rows = torch.stack([torch.stack([one, slope, across], 1), torch.stack([zero, one, down], 1)], 1)
        grid = F.affine_grid(rows, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)


class Edges(nn.Module):
    """Derivatives of a Gaussian in several directions, rectified; no weights, and nothing from data."""

    def __init__(self, directions: int, grey: bool) -> None:
        super().__init__()
        axis = torch.arange(5.0) - 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        envelope = torch.exp(-(x.square() + y.square()) / 2)
        angles = [2 * math.pi * number / directions for number in range(directions)]
        kernels = torch.stack([(x * math.cos(angle) + y * math.sin(angle)) * envelope for angle in angles])
        self.register_buffer("kernels", (kernels / kernels[0].abs().sum()).unsqueeze(1))
        self.grey = grey

    def forward(self, images: Tensor) -> Tensor:
        """Return one channel a direction, and the image itself if it is asked for."""
        edges = F.relu(F.conv2d(images, self.kernels, padding=2))
        return torch.cat([edges, 0.3 * images], 1) if self.grey else edges


class Normalise(nn.Module):
    """Each example by itself: mean 0, variance 1."""

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise over channels and places."""
        return F.group_norm(maps, 1, eps=1e-3)


class Louder(nn.Module):
    """Scores of ternary weights on normalised features, spread to the size that cross-entropy asks for."""

    def forward(self, scores: Tensor) -> Tensor:
        """Multiply."""
        return 10 * scores


def network(variant: int) -> nn.Module:
    """Build a variant: 28 x 28 images, three weight layers without biases."""
    first, channels, wide = VARIANTS[variant - 1]
    if first == "learnt":
        layers = [nn.Conv2d(1, channels, 5, stride=2, padding=2, bias=False), Normalise(), nn.ReLU()]
    else:
        grey = first == "edges and grey"
        layers = [Straighten()] if first == "straight edges" else []
        layers += [Edges(channels, grey), Normalise(), nn.AvgPool2d(2)]
        channels += grey
    for inputs in (channels, wide):
        layers += [nn.Conv2d(inputs, wide, 3, padding=1, bias=False), Normalise(), nn.ReLU(), nn.AvgPool2d(2)]
    places = wide * 3 * 3
    head = (nn.Flatten(), nn.LayerNorm(places, elementwise_affine=False), nn.Linear(places, 10, bias=False), Louder())
    return nn.Sequential(*layers, *head)


def __getattr__(name: str) -> object:
    """Give each variant a factory of its own, ``network_1`` and so on."""
    if name.startswith("network_") and name[8:].isdecimal() and 1 <= int(name[8:]) <= len(VARIANTS):
        return partial(network, int(name[8:]))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}.")


def main() -> None:
    """Certify each data set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "output")
    parser.add_argument("--data", nargs="+", choices=PUBLISHED, default=list(PUBLISHED))
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--variant", type=int)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--penalty", type=float, default=6e-4)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-holdout", action="store_true")
    arguments = parser.parse_args()
    table = Table(title="One deterministic network, trained on all of the data: n = 60,000, delta = 0.05")
    for heading in (
        *("data", "certificate", "target", "published", "training error", "test error", "before quantisation"),
        *("bits", "where they went", "weights", "holdout", "minutes"),
    ):
        table.add_column(heading)
    for name in arguments.data:
        variant, rate = arguments.variant or CHOSEN[name][0], arguments.learning_rate or CHOSEN[name][1]
        begun = time.perf_counter()
        certificate = certify_compressed(
            f"{__file__}:network_{variant}",
            load_data(arguments.root / name, part="all"),
            training=CompressionTraining(
                epochs=max(2, arguments.epochs // 10),
                quantised_epochs=arguments.epochs,
                learning_rate=rate,
                penalty=arguments.penalty,
            ),
            variant=variant,
            holdout=not arguments.no_holdout,
            seed=arguments.seed,
            device=arguments.device,
            out=arguments.folder / f"compressed-{name}",
            progress=True,
        )
        minutes = (time.perf_counter() - begun) / 60
        assert verify(certificate).ok
        code, counted = certificate.code, certificate.claims[0].inputs
        table.add_row(
            name,
            printed(certificate.value, 4),
            f"{TARGET[name]:.2f}",
            f"{PUBLISHED[name]:.3f}",
            f"{counted['errors'] / counted['n']:.4f}",
            *(f"{estimate.value:.4f}" for estimate in certificate.estimates),
            f"{code['bits']:,}",
            ", ".join(f"{part} {bits:,}" for part, bits in code["parts"].items()),
            f"{code['coordinates']:,}",
            printed(certificate.holdout.value, 4) if certificate.holdout else "",
            f"{minutes:.1f}",
        )
        print(certificate)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
