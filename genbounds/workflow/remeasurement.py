"""The third line of defence: measure a certificate's numbers again, with the model and the data."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genbounds.certificates import Certificate, Finding, Verification, verify
from genbounds.models.data import load_data
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.workflow.evaluation import SCHEMES, Evaluation
from genbounds.workflow.predictor import load_module
from genbounds.workflow.store import Store

__all__ = ["remeasure"]


def remeasure(
    path: str | Path,
    model: nn.Module | Callable[..., nn.Module] | str | Path,
    data: Any,
    *,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Verification:
    """Verify a certificate and measure again what it rests on: data, KL divergence and error counts.

    The posterior and the prior are read from the certificate's folder, the draws are repeated from its seed. On another
    device or another version of torch single predictions may differ; an error count above the certified one is
    refused all the same, and the sentence says what differs.

    Parameters
    ----------
    path : str or Path
        ``certificate.json`` in the folder that `certify` wrote.
    model : nn.Module, callable, str or Path
        The architecture, as in `certify`.
    data : object
        The data, as in `certify`.
    device : torch.device or str
        Where to evaluate.
    progress : bool
        Show bars on a terminal.

    Returns
    -------
    Verification
        The findings of `verify`, and those of the measurement.
    """
    checked = verify(path)
    if not checked.ok:
        return checked
    return checked.extended(*_findings(Certificate.load(path), Path(path).parent, model, data, device, progress))


def _findings(
    certificate: Certificate, folder: Path, model: Any, data: Any, device: torch.device | str, progress: bool
) -> Iterator[Finding]:
    if certificate.posterior is None or certificate.prior is None or certificate.draws is None:
        yield Finding("statistics", False, "the certificate has no posterior, prior and draws to measure again.")
        return
    source = load_data(data, part="all")
    if len(source) != certificate.sample.examples:
        sentence = f"the data has {len(source):,} examples, the certificate's sample {certificate.sample.examples:,}."
        yield Finding("data", False, sentence)
        return
    for name, role in certificate.sample.roles.items():
        same = source.content_sha256(certificate.sample.indices(name)) == role.content_sha256
        yield Finding(f"data: {name}", same, "the examples are the certificate's." if same else "other examples.")
    gaussians = {}
    for name, section in (("posterior", certificate.posterior), ("prior", certificate.prior)):
        gaussians[name] = DiagonalGaussian.load(folder / f"{name}.safetensors")
        same = gaussians[name].sha256() == section["sha256"]
        yield Finding(f"file: {name}", same, "its fingerprint is the certificate's." if same else "another Gaussian.")
    kl, stated = gaussians["posterior"].kl(gaussians["prior"]), certificate.posterior["kl"]
    yield Finding("KL divergence", kl <= stated, f"measured {kl!r} nats, stated {stated!r}.")

    draws = certificate.draws
    dtype = getattr(torch, certificate.model["dtype"])
    module = load_module(model, folder, gaussians["posterior"].mean).to(device, dtype)
    evaluation = Evaluation(module, source, Store(None, {}), draws["seed"], device, dtype, progress)
    bound = certificate.sample.indices("bound")
    counted = evaluation.gibbs_errors(
        "posterior", gaussians["posterior"], bound, passes=draws["epochs"], scheme=draws["scheme"]
    )
    limit = certificate.basis[0].inputs
    if draws["scheme"] == SCHEMES[0]:
        measured, claimed = sum(counted), limit["errors"]
    else:
        measured, claimed = sum(counted), round(sum(limit["values"]) * len(bound))
    differing = [
        f"{name} {version} then, {now} now"
        for name, version, now in (("torch", certificate.versions.get("torch"), torch.__version__),)
        if version != now
    ]
    place = f"; {', '.join(differing)}" if differing else ""
    yield Finding("error count", measured <= claimed, f"measured {measured:,} errors, stated {claimed:,}{place}.")
