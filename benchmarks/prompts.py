"""Certificates for prompts on real text: which section of Debian a package belongs to, by its one-line description.

    python benchmarks/prompts.py [FOLDER] [--candidates 128] [--seed 0]

MiniLM, an encoder that is not trained here, classifies by the nearest class text; SmolLM2-135M is the prior over
prompts (see assets.py for where both come from). Eight sections that say what a package is for, under the titles that
the Debian archive gives them. Binary packages of one source have nearly the same description, so one package for each
source is kept, the first by name, and each description once: what is left is as near to independent examples as a list
that people wrote can be. A fifth, drawn at random, only gives the test error. delta is 0.05 for each certificate.
FOLDER receives one certificate per form of the prompts, each checkable by `genbounds verify`.
"""

import argparse
import time
from pathlib import Path

import assets
from rich.console import Console
from rich.table import Table

from genbounds.certificates import verify
from genbounds.prompts import LanguageModelPrior, TextEncoder
from genbounds.workflow import certify_prompt

#: Sections and their titles in the Debian archive.
SECTIONS = {
    "admin": "Administration Utilities",
    "fonts": "Fonts",
    "games": "Games",
    "graphics": "Graphics",
    "net": "Network",
    "science": "Science",
    "sound": "Sound",
    "text": "Text Processing",
}
#: How far a certificate may lie above the test error.
TARGET = 0.10


def labelled_texts() -> tuple[list[str], list[str]]:
    """Return descriptions and sections of independent packages."""
    first: dict[str, dict[str, str]] = {}
    for package in sorted(assets.debian_packages(), key=lambda package: package["Package"]):
        first.setdefault(package["Source"], package)
    labelled: dict[str, str] = {}
    for package in first.values():
        section = package["Section"].rpartition("/")[2]
        if section in SECTIONS:
            labelled.setdefault(package["Description"], section)
    return list(labelled), list(labelled.values())


def main() -> None:
    """Certify both forms of prompts and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("benchmarks/output/prompts"))
    parser.add_argument("--candidates", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console(width=120)
    texts, labels = labelled_texts()
    encoder = TextEncoder(assets.minilm_folder())
    prior = LanguageModelPrior(assets.smollm2_folder(), longest=8, start="<|endoftext|>")
    console.print(f"{len(texts):,} descriptions in {len(SECTIONS)} sections")
    table = Table("prompts", "n", "certificate", "uniform prior", "holdout", "test error", "nats", "seconds", "target")
    for form, shared in (("one for each class", False), ("one for all", True)):
        began = time.perf_counter()
        certificate = certify_prompt(
            texts,
            labels,
            encoder,
            prior,
            names=SECTIONS,
            shared=shared,
            candidates=arguments.candidates,
            seed=arguments.seed,
            out=arguments.folder / form.replace(" ", "-"),
            watch=lambda found: console.print(
                f"  {found.value:.4f}  {found.errors} errors, {found.code_length:.1f} nats"
            ),
        )
        seconds = time.perf_counter() - began
        if not (checked := verify(certificate)).ok:
            raise SystemExit(str(checked))
        console.print(*(f"  {text!r}" for text in certificate.model["texts"]), sep="\n")
        row = certificate.summary()
        table.add_row(
            form,
            f"{row['n']:,}",
            *(f"{row[name]:.4f}" for name in ("value", "uniform prior", "holdout", "test error")),
            f"{certificate.code['nats']:.1f}",
            f"{seconds:.0f}",
            "met" if row["value"] <= row["test error"] + TARGET else "MISSED",
        )
    console.print(table)


if __name__ == "__main__":
    main()
