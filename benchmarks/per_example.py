"""What the gradients of single examples cost, in plain backward passes of the same batch: ours and other packages'.

    python benchmarks/per_example.py [--repeats 15] [--models mlp cnn ...] [--methods ours ...] [--no-growth]

Every method gives the squared norm of each example's gradient and the sum of the gradients, in eval mode where it can.
Time is CPU time on one thread, the median over passes that take turns with the plain one. Memory is the peak of the
process above where it stood before the first pass, in a fresh process for each method. Norms are compared with a loop
over the examples in float64; what is off by more than a tenth of a per cent is called wrong. What is not installed is
skipped, with the reason: ``pip install opacus==1.6.0 backpack-for-pytorch==1.7.1``, and transformers for the decoder.
"""

import argparse
import ctypes
import gc
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from genbounds.models.per_example.engine import PerExampleGradients

CHUNK = 8
WRONG = 1e-3

#: Squared norm of each example's gradient, and the sum of the gradients parameter by parameter, up to a factor.
Outcome = tuple[Tensor, list[Tensor], float]


class Refused(Exception):
    """A method that does not take a model says why."""


class Task(NamedTuple):
    """A network with a batch; the loss is the mean over examples."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy, averaged over examples and over their positions, if they have any."""
        return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())


class Block(nn.Module):
    """A block of a transformer: causal attention and a perceptron, each behind a layer normalisation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projections, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's outputs, shape (B, T, width)."""
        parts = self.projections(self.before_attention(x)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.merge(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.before_mlp(x))


class Transformer(nn.Module):
    """A decoder with two blocks."""

    def __init__(self, length: int, vocabulary: int = 1000, width: int = 128) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(Block(width, 4), Block(width, 4))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the next tokens, shape (B, T, vocabulary)."""
        places = torch.arange(ids.shape[1]).repeat(len(ids), 1)
        return self.head(self.norm(self.blocks(self.tokens(ids) + self.positions(places))))


class Residual(nn.Module):
    """Two convolutions and what is passed by them."""

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, wider, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(wider, wider, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(wider) for _ in range(2))
        self.past = nn.Conv2d(channels, wider, 1, stride, bias=False) if channels != wider else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's outputs."""
        inner = functional.relu(self.norms[0](self.first(x)))
        return functional.relu(self.past(x) + self.norms[1](self.second(inner)))


class Logits(nn.Module):
    """A Hugging Face decoder as a function of tokens."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of the next tokens."""
        return self.decoder(input_ids=ids, use_cache=False).logits


def images(model: nn.Module, number: int, *shape: int) -> Task:
    """Return a task on random images."""
    return Task(model.eval(), torch.randn(number, *shape), torch.randint(10, (number,)))


def texts(model: nn.Module, number: int, length: int) -> Task:
    """Return a task on random tokens."""
    ids = torch.randint(1000, (number, length + 1))
    return Task(model.eval(), ids[:, :-1].contiguous(), ids[:, 1:].contiguous())


def mlp(number: int = 256) -> Task:
    """Return the task of a perceptron."""
    sizes = ((784, 512), (512, 512), (512, 10))
    layers = [layer for size in sizes for layer in (nn.Linear(*size), nn.ReLU())][:-1]
    return images(nn.Sequential(*layers), number, 784)


def cnn() -> Task:
    """Return the task of a convolutional network."""
    layers: list[nn.Module] = []
    for channels, wider in ((3, 32), (32, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(channels, wider, 3, padding=1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if channels == wider else []
    return images(nn.Sequential(*layers, nn.Flatten(), nn.Linear(4096, 10)), 64, 3, 32, 32)


def transformer() -> Task:
    """Return the task of a transformer on short texts."""
    return texts(Transformer(64), 32, 64)


def long_transformer() -> Task:
    """Return the task of a transformer on longer texts."""
    return texts(Transformer(256), 8, 256)


def resnet() -> Task:
    """Return the task of a residual network."""
    blocks = [Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks, *head)
    task = images(model.train(), 32, 3, 32, 32)
    with torch.no_grad():
        model.train()(task.inputs)  # running statistics of these images
    return Task(model.eval(), task.inputs, task.targets)


def decoder() -> Task:
    """Return the task of a decoder as Hugging Face builds it."""
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise Refused(f"not installed ({error})") from error
    sizes = {"vocab_size": 1000, "hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True}
    return texts(Logits(LlamaForCausalLM(LlamaConfig(**sizes, **heads))), 32, 64)


TASKS: dict[str, tuple[str, Callable[[], Task]]] = {
    "mlp": ("MLP 784-512-512-10", mlp),
    "cnn": ("CNN, 4 convolutions and a linear layer", cnn),
    "transformer": ("transformer, 2 blocks of width 128, T = 64", transformer),
    "long": ("the same transformer, T = 256", long_transformer),
    "resnet": ("ResNet with BatchNorm in eval mode", resnet),
    "decoder": ("Llama-like decoder of Hugging Face transformers, tied head", decoder),
}


def build(name: str) -> Task:
    """Return a task, always the same one."""
    torch.manual_seed(0)
    return TASKS[name][1]()


def plain(task: Task) -> Callable[[], None]:
    """Return a forward and backward pass, as in training."""

    def run() -> None:
        task.model.zero_grad(set_to_none=True)
        task.loss(task.model(task.inputs), task.targets).backward()

    return run


def ours(task: Task) -> Callable[[], Outcome]:
    """Return a pass of this package: norms by parameter, and the sum."""
    engine = PerExampleGradients(task.model, task.loss)

    def run() -> Outcome:
        found = engine.squared_norms(task.inputs, task.targets)
        return found.squared.sum(dim=1), list(found.total.values()), 1.0

    return run


def by_vmap(task: Task, chunk: int) -> Callable[[], Outcome]:
    """Return what vmap of grad gives, reduced chunk by chunk."""
    parameters = {name: value.detach() for name, value in task.model.named_parameters()}

    def loss(values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return task.loss(functional_call(task.model, values, (x[None],)), y[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))

    def run() -> Outcome:
        squared, total = [], {name: torch.zeros_like(value) for name, value in parameters.items()}
        for x, y in zip(task.inputs.split(chunk), task.targets.split(chunk), strict=True):
            found = gradients(parameters, x, y)
            squared.append(sum(value.flatten(1).square().sum(dim=1) for value in found.values()))
            for name, value in found.items():
                total[name] += value.sum(dim=0)
        return torch.cat(squared), list(total.values()), 1.0

    return run


def vmap_whole(task: Task) -> Callable[[], Outcome]:
    """Return what vmap gives for the whole batch."""
    return by_vmap(task, len(task.inputs))


def vmap_chunked(task: Task) -> Callable[[], Outcome]:
    """Return what vmap gives, a few examples at a time."""
    return by_vmap(task, CHUNK)


def opacus_samples(task: Task) -> Callable[[], Outcome]:
    """Return what hooks of Opacus give, every gradient written out."""
    from opacus import GradSampleModule

    wrapped = GradSampleModule(task.model.train())  # refuses eval mode

    def run() -> Outcome:
        wrapped.zero_grad(set_to_none=True)
        task.loss(wrapped(task.inputs), task.targets).backward()
        parameters = list(wrapped.parameters())
        squared = sum(value.grad_sample.flatten(1).square().sum(dim=1) for value in parameters)
        return squared, [value.grad for value in parameters], len(task.inputs)

    return run


def opacus_ghost(task: Task) -> Callable[[], Outcome]:
    """Return what Opacus gives without writing gradients out, where it can."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping

    wrapped = GradSampleModuleFastGradientClipping(task.model.train(), max_grad_norm=1.0, use_ghost_clipping=True)

    def run() -> Outcome:
        wrapped.zero_grad(set_to_none=True)
        task.loss(wrapped(task.inputs), task.targets).backward()
        return wrapped.get_norm_sample().square(), [value.grad for value in wrapped.parameters()], len(task.inputs)

    return run


def backpack_norms(task: Task) -> Callable[[], Outcome]:
    """Return what BackPACK gives."""
    from backpack import backpack, extend
    from backpack.extensions import BatchL2Grad

    model, number = extend(task.model), len(task.inputs)

    def run() -> Outcome:
        model.zero_grad(set_to_none=True)
        with backpack(BatchL2Grad()):
            task.loss(model(task.inputs), task.targets).backward()
        missing = [name for name, value in model.named_parameters() if not hasattr(value, "batch_l2")]
        if missing:
            raise Refused(f"gives nothing for {missing[0]}")
        squared = sum(value.batch_l2 for value in model.parameters())
        return number**2 * squared, [value.grad for value in model.parameters()], number

    return run


METHODS: dict[str, tuple[str, Callable[[Task], Callable[[], Outcome]]]] = {
    "ours": ("genbounds", ours),
    "vmap": ("torch.func, whole batch", vmap_whole),
    "vmap-chunked": (f"torch.func, chunks of {CHUNK}", vmap_chunked),
    "opacus": ("Opacus, GradSampleModule", opacus_samples),
    "opacus-ghost": ("Opacus, ghost norms", opacus_ghost),
    "backpack": ("BackPACK, BatchL2Grad", backpack_norms),
}


def truth(task: Task) -> Outcome:
    """Loop over the examples in float64."""
    model = task.model.double()
    inputs = task.inputs.double() if task.inputs.is_floating_point() else task.inputs
    parameters = list(model.parameters())
    squared, total = [], [torch.zeros_like(value) for value in parameters]
    for x, y in zip(inputs.split(1), task.targets.split(1), strict=True):
        one = torch.autograd.grad(task.loss(model(x), y), parameters)
        squared.append(sum(value.square().sum() for value in one))
        total = [before + value for before, value in zip(total, one, strict=True)]
    return torch.stack(squared), total, 1.0


def verdict(found: Outcome, exact: Outcome) -> str:
    """Return nothing, or by how much norms or sum are off."""
    norms = float(((found[0].double() - exact[0]) / exact[0]).abs().max())
    gaps = [found[2] * value.double() - true for value, true in zip(found[1], exact[1], strict=True)]
    off, size = (float(sum(value.square().sum() for value in values)) ** 0.5 for values in (gaps, exact[1]))
    if max(norms, off / size) <= WRONG:
        return ""
    return f"wrong by {norms:.1%}" if norms > WRONG else f"sum wrong by {off / size:.1%}"


def prepared(method: str, name: str) -> Callable[[], Outcome]:
    """Return a method on a task of its own, after a pass, or raise `Refused` with the reason in a line."""
    try:
        run = METHODS[method][1](build(name))
        run()
    except Refused:
        raise
    except ImportError as error:
        raise Refused(f"not installed ({error})") from error
    except Exception as error:
        raise Refused(f"refuses: {type(error).__name__}: {' '.join(str(error).split())[:90]}") from error
    return run


def seconds(run: Callable[[], object]) -> float:
    """Return the CPU time of a pass."""
    start = time.process_time()
    run()
    return time.process_time() - start


def status(field: str) -> float:
    """Return a line of the process's status, in MiB."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def memory_from_here() -> float:
    """Return the memory of the process, in MiB, and let its peak start anew."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed counts as free
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return status("VmRSS")


def peak(method: str, name: str) -> float:
    """Return how far the process's memory rises above where it stood, in MiB, over the first passes of a method."""
    start: Callable[[Task], Callable[[], object]] = plain if method == "plain" else METHODS[method][1]
    task = build(name)
    start(Task(task.model, task.inputs[:2], task.targets[:2]))()  # imports, and what kernels set up once
    task = build(name)
    before = memory_from_here()
    run = start(task)
    for _ in range(3):
        run()
    return status("VmHWM") - before


def peak_elsewhere(*arguments: str) -> float:
    """Return a peak, measured in a fresh process."""
    command = [sys.executable, "-W", "ignore", __file__, "--peak", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def compare(name: str, methods: list[str], repeats: int, console: Console) -> None:
    """Print the table of a task."""
    exact, task = truth(build(name)), build(name)
    runs: dict[str, Callable[[], object]] = {"plain": plain(task)}
    runs["plain"]()
    notes = {}
    for method in methods:
        try:
            run = prepared(method, name)
            notes[method] = verdict(run(), exact)
            runs[method] = run
        except Refused as refusal:
            notes[method] = str(refusal)
    times: dict[str, list[float]] = {method: [] for method in runs}
    turns = random.Random(0)
    for _ in range(repeats):
        for method in turns.sample(list(runs), len(runs)):  # nobody always finds what the same one left in the caches
            times[method].append(seconds(runs[method]))
    usual, memory = float(np.median(times["plain"])), peak_elsewhere("plain", name)
    if "ours" in runs:
        notes["ours"] += f" (first batch, with its checks: {seconds(METHODS['ours'][1](build(name))) / usual:.1f})"
    shape = " x ".join(map(str, task.inputs.shape))
    title = f"{TASKS[name][0]} [{shape}]: plain pass {usual * 1e3:.1f} ms, {memory:.0f} MiB"
    table = Table("method", "time / plain", "quartiles", "MiB", "/ plain", "", title=title)
    for method in methods:
        cells = ["-"] * 4
        if method in runs:
            ratios, own = np.array(times[method]) / usual, peak_elsewhere(method, name)
            quartiles = "{:.2f} to {:.2f}".format(*np.quantile(ratios, [0.25, 0.75]))
            cells = [f"{np.median(ratios):.2f}", quartiles, f"{own:.0f}", f"{own / memory:.2f}"]
        table.add_row(METHODS[method][0], *cells, notes[method].strip())
    console.print(table)


def growth(console: Console) -> None:
    """Show time and memory for more and more examples, in blocks of 256."""
    table = Table("examples", "seconds", "microseconds an example", "MiB above the data", title="MLP, blocks of 256")
    for number in (2048, 8192, 32768):
        command = [sys.executable, "-W", "ignore", __file__, "--grow", str(number)]
        spent, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-2:]
        each = f"{1e6 * float(spent) / number:.0f}"
        table.add_row(f"{number:,}", f"{float(spent):.2f}", each, f"{float(memory):.0f}")
    console.print(table)


def grow(number: int) -> tuple[float, float]:
    """Return CPU time and peak memory of all norms and the mean gradient of a data set."""
    ours(mlp(8))()  # imports, and what kernels set up once
    torch.manual_seed(0)
    task = mlp(number)
    engine = PerExampleGradients(task.model, task.loss)
    before = memory_from_here()

    def run() -> None:
        total = {name: torch.zeros(shape) for name, shape in engine.shapes.items()}
        for x, y in zip(task.inputs.split(256), task.targets.split(256), strict=True):
            for name, value in engine.squared_norms(x, y).total.items():
                total[name] += value

    return seconds(run), status("VmHWM") - before


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--models", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--no-growth", action="store_true")
    parser.add_argument("--peak", nargs=2, metavar=("METHOD", "MODEL"), help="print this one peak and stop")
    parser.add_argument("--grow", type=int, metavar="EXAMPLES", help="print this one time and peak and stop")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if arguments.peak:
        print(peak(*arguments.peak))
        return
    if arguments.grow:
        print(*grow(arguments.grow))
        return
    console = Console(width=150)
    for name in arguments.models:
        try:
            compare(name, arguments.methods, arguments.repeats, console)
        except Refused as refusal:
            console.print(f"{name}: skipped, {refusal}")
    if not arguments.no_growth:
        growth(console)


if __name__ == "__main__":
    main()
