"""A certificate for a Hugging Face model fine-tuned with an adapter: MiniLM on the task of prompts.py.

    python benchmarks/adapter.py [FOLDER] [--variant 11] [--dimension 400] [--rank 4] [--seed 0]

Which of the eight largest sections of Debian a package belongs to, by its one-line description; one package for each
source (see prompts.py). A SubLoRA adapter, a few hundred coordinates in all, moves the last layer of the encoder and
the head, which starts as the encoder's vectors of the sections' titles. Four fifths, drawn at random, train the adapter
and carry the bound at once; the rest only gives the test error. delta is 0.05. FOLDER receives the certificate and the
message that the network is decoded from; at the end it is decoded again for a model that is read anew.

Weights that were trained elsewhere never saw the texts' sections. What was tried on these texts is paid for: rank,
dimension and seed are in the message, and so is the number of the model among VARIANTS.

Only the last layer changes, so that what goes into it is computed once for each text.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import assets
import prompts
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from genbounds.certificates import verify
from genbounds.compression.training import CompressionTraining
from genbounds.models.examples import TensorData
from genbounds.models.hugging_face import EncoderClassifier, attention_mask, load_folder, tokenise
from genbounds.models.passes import count_errors
from genbounds.models.splits import Roles
from genbounds.workflow import certify_compressed, load_compressed

_LAYER = "encoder.encoder.layer.5"
#: Models by number, from 1: parameters that the adapter moves, where the head starts, most tokens of a description.
VARIANTS = list(
    product(
        (
            ("head.*",),
            (f"{_LAYER}.*.weight", "head.*"),
            (f"{_LAYER}.attention.output.dense.weight", f"{_LAYER}.output.dense.weight", "head.*"),
        ),
        ("zero", "titles"),
        (16, 20, 24),
    )
)
#: Inverse temperature of the cosines between texts and titles at the start.
SHARPNESS = 20.0


class Classifier(EncoderClassifier):
    """A BERT encoder and a head, with a memory of what goes into the last layer."""

    def __init__(self, encoder: torch.nn.Module, pad: int, classes: int) -> None:
        super().__init__(encoder, pad, classes)
        self._memory: dict[bytes, Tensor] = {}

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the mean of the last hidden states over each text."""
        weights = attention_mask(tokens, self.pad).unsqueeze(-1).to(self.head.weight.dtype)
        ignored = (1 - weights).mul(torch.finfo(weights.dtype).min).squeeze(-1)[:, None, None]
        hidden = self.encoder.encoder.layer[-1](self._recall(tokens, ignored), ignored)
        return (hidden * weights).sum(1) / weights.sum(1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.embed(tokens))

    @torch.no_grad()
    def _recall(self, tokens: Tensor, ignored: Tensor) -> Tensor:
        keys = [row.numpy().tobytes() for row in tokens]
        fresh = [number for number, key in enumerate(keys) if key not in self._memory]
        if fresh:
            hidden = self.encoder.embeddings(input_ids=tokens[fresh])
            for layer in self.encoder.encoder.layer[:-1]:
                hidden = layer(hidden, ignored[fresh])
            self._memory.update(zip([keys[number] for number in fresh], hidden.unbind(), strict=True))
        return torch.stack([self._memory[key] for key in keys])


def start(head: str, longest: int) -> Classifier:
    """Return MiniLM with a head of zeros, or with one that compares a text with the sections' titles."""
    folder = assets.minilm_folder()
    tokenizer, encoder = load_folder("AutoModel", folder)
    model = Classifier(encoder, tokenizer.pad_token_id, len(prompts.SECTIONS)).eval().requires_grad_(False)
    if head == "titles":
        titles = list(prompts.SECTIONS.values())
        vectors = model.embed(tokenise(folder, titles, range(len(titles)), longest=longest).inputs)
        model.head.weight.copy_(SHARPNESS * vectors / vectors.square().sum(1, keepdim=True))
    return model


def task(longest: int, seed: int) -> tuple[TensorData, Roles]:
    """Return texts as tokens, and which of them carry the bound."""
    texts, labels = prompts.labelled_texts()
    numbers = {section: number for number, section in enumerate(prompts.SECTIONS)}
    targets = [numbers[label] for label in labels]
    data = tokenise(assets.minilm_folder(), texts, targets, longest=longest, name="Debian packages")
    return data, Roles.random(len(data), {"bound": 0.8, "test": 0.2}, seed)


def main() -> None:
    """Certify the fine-tuned network, decode it again, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("benchmarks/output/adapter"))
    parser.add_argument("--variant", type=int, default=11, choices=range(1, len(VARIANTS) + 1), metavar="NUMBER")
    parser.add_argument("--dimension", type=int, default=400)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.perf_counter()
    adapted, head, longest = VARIANTS[arguments.variant - 1]
    data, roles = task(longest, arguments.seed)
    certificate = certify_compressed(
        start(head, longest),
        data,
        adapt=adapted,
        variant=arguments.variant,
        parametrisation={"kind": "sublora", "rank": arguments.rank, "dimension": arguments.dimension, "seed": 0},
        training=CompressionTraining(epochs=3, quantised_epochs=7, batch_size=64, learning_rate=0.1, penalty=1e-3),
        roles=roles,
        seed=arguments.seed,
        out=arguments.folder,
        progress=True,
    )
    minutes = (time.perf_counter() - began) / 60
    if not (checked := verify(arguments.folder / "certificate.json")).ok:
        raise SystemExit(str(checked))
    row, test = certificate.summary(), roles.indices("test")
    before = count_errors(start(head, longest), data, test) / len(test)
    if count_errors(load_compressed(arguments.folder, start(head, longest)), data, test) != round(
        row["test error"] * len(test)
    ):
        raise SystemExit("the message decodes to a network with other errors than the certificate says")
    table = Table("n", "certificate", "holdout", "train error", "test error", "at the start", "bits", "minutes")
    numbers = [row["value"], row["holdout"], row["risk"], row["test error"], before]
    bits = certificate.code["bits"]
    table.add_row(f"{row['n']:,}", *(f"{number:.4f}" for number in numbers), f"{bits:,}", f"{minutes:.1f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
