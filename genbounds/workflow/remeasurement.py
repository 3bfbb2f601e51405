"""The third line of defence: measure a certificate's numbers again, with the model and the data."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genbounds.certificates import Certificate, Finding, Verification, verify
from genbounds.models.checkpoint import load_checkpoint
from genbounds.models.data import load_data
from genbounds.models.examples import Data
from genbounds.models.linear_heads import exact_gibbs_risk, extract_features
from genbounds.models.passes import count_errors
from genbounds.models.state import state_sha256
from genbounds.pac_bayes.low_rank import load_gaussian
from genbounds.pac_bayes.majority_vote import TANDEM
from genbounds.pac_bayes.posteriors import DiagonalGaussian
from genbounds.workflow.compression import load_compressed
from genbounds.workflow.evaluation import MONTE_CARLO, SCHEMES, Evaluation
from genbounds.workflow.excess import excess_findings
from genbounds.workflow.gaussians import layer_of
from genbounds.workflow.gibbs import Fitted
from genbounds.workflow.majority_vote import tandem_errors
from genbounds.workflow.predictor import load_module
from genbounds.workflow.recursion import step_findings
from genbounds.workflow.single_draw import redraw
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

    The posterior, the prior and the buffers are read from the certificate's folder, the draws are repeated from its
    seed; a network that was certified by its code is decoded from its message. On another device or another version of
    torch single predictions may differ; an error count above the certified one is refused all the same, and the
    sentence says what differs. No measurement can find a prior that saw more than the certificate says: to be sure of
    a learnt one, learn it again.

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
    if certificate.code is not None and "nats" in certificate.code:
        yield Finding("statistics", False, "it is about prompts: they are measured again by remeasure_prompt.")
        return
    limit = certificate.basis[0].inputs
    draws = certificate.draws or {}
    counted_as = {SCHEMES[0]: "errors", SCHEMES[1]: "values", "exact": "risk", "single": "log_ratio"}
    counts = counted_as.get(draws.get("scheme", ""))
    source = load_data(data, part="all")
    if len(source) != certificate.sample.examples:
        sentence = f"the data has {len(source):,} examples, the certificate's sample {certificate.sample.examples:,}."
        yield Finding("data", False, sentence)
        return
    for name, role in certificate.sample.roles.items():
        same = source.content_sha256(certificate.sample.indices(name)) == role.content_sha256
        yield Finding(f"data: {name}", same, "the examples are the certificate's." if same else "other examples.")
    if certificate.code is not None and "bits" in certificate.code:
        yield from _of_message(certificate, folder, model, source, device, progress)
        return
    # An exact Gibbs risk is known how to measure where only the last layer is random.
    measurable = counts in limit and (counts != "risk" or {"random", "features_sha256"} <= certificate.model.keys())
    if certificate.posterior is None or certificate.prior is None or not measurable:
        yield Finding("statistics", False, "the certificate does not rest on a posterior, a prior and counted errors.")
        return
    posterior = load_gaussian(folder / "posterior.safetensors")
    prior = DiagonalGaussian.load(folder / "prior.safetensors")
    for name, gaussian, section in (
        ("posterior", posterior, certificate.posterior),
        ("prior", prior, certificate.prior),
    ):
        same = gaussian.sha256() == section["sha256"]
        yield Finding(f"file: {name}", same, "its fingerprint is the certificate's." if same else "another Gaussian.")
    for name in ("features",) if counts == "risk" else ("buffers",):
        file = folder / f"{name}.safetensors"
        found = state_sha256(load_checkpoint(file).state) if file.exists() else None
        same = found == certificate.model[f"{name}_sha256"]
        yield Finding(f"file: {name}", same, "they are the certificate's." if same else f"other {name}.")
    yield _as_described(prior, certificate.prior)
    dtype = getattr(torch, certificate.model["dtype"])
    module = load_module(model, folder, posterior.mean).to(device, dtype)
    bound = certificate.sample.indices("bound")
    place = _elsewhere(certificate, device)
    evaluation = Evaluation(module, source, Store(None, {}), draws.get("seed", 0), device, dtype, progress)
    if certificate.posterior.get("steps"):
        yield from step_findings(certificate, folder, evaluation, place)
        return
    kl, stated = posterior.kl(prior), certificate.posterior["kl"]
    yield Finding("KL divergence", kl <= stated, f"measured {kl!r} nats, stated {stated!r}.")
    if isinstance(posterior, DiagonalGaussian) and certificate.posterior.get("reference"):
        yield from excess_findings(certificate, evaluation, posterior, prior, place)
        return
    if counts == "risk":
        name = certificate.model["random"]
        features = extract_features(module, name, source, device=device, dtype=dtype, progress=progress)
        layer = f"{name}." if name else ""
        law = {
            part: {key.removeprefix(layer): value for key, value in own.items()}
            for part, own in posterior.law("cpu", torch.float64).items()
        }
        risk = exact_gibbs_risk(law, features, bound)
        yield Finding("Gibbs risk", risk <= limit["risk"], f"measured {risk!r}, stated {limit['risk']!r}{place}.")
        return
    fitted = Fitted(evaluation, "posterior", posterior, prior, kl, bound, 1, {})
    if counts == "log_ratio":
        yield from redraw(certificate, folder, fitted, place)
        return
    if certificate.basis[0].loss == TANDEM:
        counted = tandem_errors(fitted, draws["epochs"])
    else:
        counted = evaluation.gibbs_errors(
            "posterior",
            posterior,
            bound,
            passes=draws["epochs"],
            scheme=draws["scheme"],
            stage=MONTE_CARLO,
        )
    if counts == "errors":
        claimed, holds = limit["errors"], sum(counted) <= limit["errors"]
    else:
        # Draw by draw: the limit also falls with the spread of its values, so that their sum alone proves nothing.
        claimed = round(sum(limit["values"]) * len(bound))
        pairs = zip(counted, limit["values"], strict=False)
        holds = len(counted) == len(limit["values"]) and all(count / len(bound) <= value for count, value in pairs)
    yield Finding("error count", holds, f"measured {sum(counted):,} errors, stated {claimed:,}{place}.")


def _elsewhere(certificate: Certificate, device: torch.device | str) -> str:
    """Name what is another than it was, where single predictions may differ by it."""
    ways = (
        ("torch", certificate.versions.get("torch"), torch.__version__),
        ("device", certificate.model["device"], torch.device(device).type),
    )
    differing = [f"{name} {then} then, {now} now" for name, then, now in ways if then != now]
    return f"; {', '.join(differing)}" if differing else ""


def _of_message(
    certificate: Certificate, folder: Path, model: Any, data: Data, device: torch.device | str, progress: bool
) -> Iterator[Finding]:
    """Decode the message again, and count the errors of the network that it says."""
    try:
        module = load_compressed(folder, model).to(device)
    except (ValueError, OSError) as error:
        yield Finding("message", False, str(error))
        return
    yield Finding("message", True, "it has the certificate's bits, and decodes to the certificate's network.")
    stated, bound = certificate.basis[-1].inputs["errors"], certificate.sample.indices("bound")
    dtype = getattr(torch, certificate.model["dtype"])
    counted = count_errors(module, data, bound, device=device, dtype=dtype, progress=progress)
    sentence = f"measured {counted:,} errors, stated {stated:,}{_elsewhere(certificate, device)}."
    yield Finding("error count", counted <= stated, sentence)


def _as_described(prior: DiagonalGaussian, section: Mapping[str, Any]) -> Finding:
    """Compare a prior with what the certificate says of it: its centre, if that is zero, and its scales."""
    centre = prior.mean
    if section["kind"] == "zero":
        centre = {name: torch.zeros_like(value) for name, value in centre.items()}
    value = section["scale"]["value"]
    values = value if isinstance(value, Mapping) else {layer_of(name): value for name in centre}
    same = {layer_of(name) for name in centre} == set(values)
    if same:
        scale = {name: torch.tensor(values[layer_of(name)], dtype=mean.dtype) for name, mean in centre.items()}
        same = DiagonalGaussian(centre, scale).sha256() == prior.sha256()
    return Finding("prior", same, "it is what the certificate says." if same else "its centre or its scale is another.")
