"""``genbounds certify``."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from genbounds.cli.console import Flag
from genbounds.cli.files import Part, read_roles

__all__ = ["certify"]

_WEIGHTS = Group("Weights", sort_key=1)
_PRIOR = Group("Prior and data", sort_key=2)
_TRAINING = Group("Training", sort_key=3)
_BOUND = Group("Bound and draws", sort_key=4)
_RUN = Group("Run", sort_key=5)


def certify(
    model: str,
    data: str,
    /,
    *,
    out: Annotated[Path, Parameter(group=_RUN)] = Path("certificate"),
    checkpoint: Annotated[Path | None, Parameter(group=_WEIGHTS)] = None,
    initial: Annotated[Path | None, Parameter(group=_WEIGHTS)] = None,
    prefix: Annotated[str, Parameter(group=_WEIGHTS)] = "",
    trust_pickle: Annotated[Flag, Parameter(group=_WEIGHTS)] = False,
    prior: Annotated[Literal["learnt", "checkpoint", "zero", "initialisation"], Parameter(group=_PRIOR)] = "learnt",
    prior_scale: Annotated[float | Literal["per layer"] | None, Parameter(group=_PRIOR)] = None,
    prior_fraction: Annotated[float, Parameter(group=_PRIOR)] = 0.5,
    roles: Annotated[Path | None, Parameter(group=_PRIOR)] = None,
    part: Annotated[Part, Parameter(group=_PRIOR)] = "all",
    curve: Annotated[tuple[float, ...], Parameter(group=_PRIOR, consume_multiple=True, negative="")] = (),
    prior_epochs: Annotated[int | None, Parameter(group=_TRAINING)] = None,
    prior_noise: Annotated[float | None, Parameter(group=_TRAINING)] = None,
    posterior_epochs: Annotated[int | None, Parameter(group=_TRAINING)] = None,
    objective: Annotated[Literal["maurer", "quadratic"] | None, Parameter(group=_TRAINING)] = None,
    batch_size: Annotated[int | None, Parameter(group=_TRAINING)] = None,
    delta: Annotated[float, Parameter(group=_BOUND)] = 0.05,
    monte_carlo_share: Annotated[float, Parameter(group=_BOUND)] = 0.2,
    predictor: Annotated[Literal["gibbs", "single draw", "majority vote"], Parameter(group=_BOUND)] = "gibbs",
    theorem: Annotated[str | None, Parameter(group=_BOUND)] = None,
    scheme: Annotated[Literal["one per example", "shared"], Parameter(group=_BOUND)] = "one per example",
    passes: Annotated[int, Parameter(group=_BOUND)] = 10,
    seed: Annotated[int, Parameter(group=_RUN)] = 0,
    device: Annotated[str, Parameter(group=_RUN)] = "cpu",
    dtype: Annotated[Literal["float32", "float64", "bfloat16"], Parameter(group=_RUN)] = "float32",
    json: Annotated[Flag, Parameter(group=_RUN)] = False,
) -> int:
    """Certify the 0-1 risk of a randomised predictor around your trained network.

    A run that was stopped and is started again with the same arguments goes on where it stopped, to the same
    certificate. The folder gets certificate.json, posterior.safetensors, prior.safetensors, report.html and a figure.

    Parameters
    ----------
    model : str
        What builds the network: package.module:callable, path/to/file.py:callable, or a .pt2 file of torch.export.
        Its code is run.
    data : str
        digits, a folder of IDX files (MNIST, Fashion-MNIST), an .npz file with x and y, or a callable as for the model.
    out : Path
        Folder to write to.
    checkpoint : Path
        Trained weights: a state dict (.pt), .safetensors or a Lightning .ckpt.
    initial : Path
        Weights that training started from; what the model's factory builds under the seed if left out.
    prefix : str
        Prefix of the names of the weights in the files, such as "model." in Lightning's.
    trust_pickle : bool
        Read files that execute code when they are read. Only for files that you made.
    prior : str
        Centre of the prior. learnt: a network trained here on a part of the data; checkpoint: the checkpoint, which you
        declare not to have seen the bound's sample; zero and initialisation: no data, for a checkpoint that saw all.
    prior_scale : float or "per layer"
        Standard deviation of the prior, fixed before looking at the bound's sample; chosen and paid for if left out.
        "per layer": one for each, chosen on a product of grids that is paid, for the priors zero and initialisation.
    prior_fraction : float
        Part of the training examples given to a learnt prior.
    roles : Path
        JSON file with the indices of the examples for prior, bound and test, in place of a random split.
    part : str
        Part of a folder of IDX files to use; with all, the test part gets the role test.
    curve : tuple of float
        Certify these parts of the data too, as in --curve 0.1 0.3, and draw the bound and the error over n.
    prior_epochs : int
        Epochs for the network of a learnt prior.
    prior_noise : float
        Noise on the weights while a learnt prior's network is trained; then also the prior's scale.
    posterior_epochs : int
        Epochs for the posterior.
    objective : str
        Bound that the posterior is trained on.
    batch_size : int
        Examples per step of training.
    delta : float
        Probability with which the certificate may fail, everything included.
    monte_carlo_share : float
        Part of delta spent on the Monte-Carlo step.
    predictor : str
        What is certified: a fresh draw of the weights for every prediction, one network drawn once and then kept (it is
        written to drawn.safetensors), or the majority vote of all networks.
    theorem : str
        Theorem of the headline, see genbounds theorems; pac_bayes.seeger_xi, rivasplata or first_order if left out. For
        the majority vote also pac_bayes.tandem, or both.
    scheme : str
        Fresh weights for every example, or one draw shared by the whole sample in each pass.
    passes : int
        Passes over the bound's sample in the Monte-Carlo step.
    seed : int
        Seed of everything: same seed, same certificate.
    device : str
        Where the network runs, such as cpu or cuda.
    dtype : str
        Type of its numbers.
    json : bool
        Print the certificate as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.
    """
    import torch

    from genbounds.certificates import verify
    from genbounds.cli.app import OK, REFUSED
    from genbounds.cli.console import progress_wanted, show, show_json
    from genbounds.cli.files import check_device, read_data, write_figures
    from genbounds.report.text import certificate_text, verdict_text
    from genbounds.workflow import NetworkTraining, PosteriorTraining
    from genbounds.workflow.parts import certify_parts

    def given(**options: Any) -> dict[str, Any]:
        return {name: value for name, value in options.items() if value is not None}

    certificates = certify_parts(
        model,
        read_data(data, part),
        curve,
        checkpoint=checkpoint,
        initial=initial,
        prefix=prefix,
        trust_pickle=trust_pickle,
        prior=prior,
        prior_scale=prior_scale,
        prior_fraction=prior_fraction,
        roles=None if roles is None else read_roles(roles),
        network=NetworkTraining(**given(epochs=prior_epochs, noise=prior_noise, batch_size=batch_size)),
        posterior=PosteriorTraining(**given(epochs=posterior_epochs, objective=objective, batch_size=batch_size)),
        delta=delta,
        monte_carlo_share=monte_carlo_share,
        predictor=predictor,
        theorem=theorem,
        scheme=scheme,
        passes=passes,
        seed=seed,
        device=check_device(device),
        dtype=getattr(torch, dtype),
        out=out,
        progress=progress_wanted(),
    )
    certificate, verification = certificates[-1], verify(out / "certificate.json")
    written = write_figures(out, certificates, verification)
    if json:
        show_json(certificate.to_json())
    else:
        show(certificate_text(certificate), verdict_text(verification))
        gaussians = ["posterior.safetensors", "prior.safetensors"]
        drawn = ["drawn.safetensors"] * (predictor == "single draw")
        show(f"\nWritten to {out}: {', '.join(['certificate.json', *gaussians, *drawn, *written])}")
    return OK if verification.ok else REFUSED
