"""``genbounds prompt``."""

import json as json_format
from pathlib import Path

from genbounds.cli.console import Flag, progress_wanted, show, show_json, status
from genbounds.cli.files import check_device, read_roles, read_texts

__all__ = ["prompt"]


def prompt(
    texts: Path,
    /,
    *,
    encoder: Path,
    language_model: Path,
    out: Path = Path("certificate"),
    names: Path | None = None,
    template: str | None = None,
    shared: Flag = False,
    start: str | None = None,
    longest: int = 8,
    candidates: int = 128,
    roles: Path | None = None,
    delta: float = 0.05,
    seed: int = 0,
    device: str = "cpu",
    json: Flag = False,
) -> int:
    """Search prompts that classify your texts, and certify the 0-1 risk of the classifier they make.

    A text gets the class whose own text, its name and a prompt, is nearest in the encoder's space. All examples but a
    random fifth carry the bound; prompts pay by their probability under the language model. Neither model may have
    been trained on the examples. The folder gets certificate.json.

    Parameters
    ----------
    texts : Path
        File of JSON lines, each with a text and a label.
    encoder : Path
        Hugging Face folder of the encoder that classifies, such as MiniLM.
    language_model : Path
        Hugging Face folder of the causal language model that is the prior over prompts.
    out : Path
        Folder to write to.
    names : Path
        JSON file: a table from all labels to what their classes are called; the labels that occur if left out.
    template : str
        Text of a class, such as "a text about {name}{prompt}".
    shared : bool
        One prompt for all classes, before the name, rather than one for each.
    start : str
        Token that the language model saw between documents; the tokenizer's own if left out.
    longest : int
        Most tokens of a prompt.
    candidates : int
        Tokens to try at each step of each prompt.
    roles : Path
        JSON file with the indices of the examples for bound and test, in place of a random split.
    delta : float
        Probability with which the certificate may fail.
    seed : int
        Seed of the split.
    device : str
        Where both models run, such as cpu or cuda.
    json : bool
        Print the certificate as JSON on standard output, and nothing else.

    Returns
    -------
    int
        Exit code.
    """
    from genbounds.certificates import verify
    from genbounds.cli.app import OK, REFUSED
    from genbounds.prompts import LanguageModelPrior, TextEncoder
    from genbounds.report.text import certificate_text, verdict_text
    from genbounds.workflow import certify_prompt

    given, labels = read_texts(texts)
    place = check_device(device)
    certificate = certify_prompt(
        given,
        labels,
        TextEncoder(encoder, device=place),
        LanguageModelPrior(language_model, longest=longest, start=start, device=place),
        names=None if names is None else json_format.loads(names.read_text(encoding="utf-8")),
        template=template,
        shared=shared,
        roles=None if roles is None else read_roles(roles),
        delta=delta,
        candidates=candidates,
        seed=seed,
        out=out,
        progress=progress_wanted(),
        watch=lambda found: status(
            f"bound {found.value:.4f}: {found.errors:,} errors, {found.code_length:.1f} nats, "
            f"{sum(map(len, found.prompts))} tokens"
        ),
    )
    verification = verify(out / "certificate.json")
    if json:
        show_json(certificate.to_json())
    else:
        show(certificate_text(certificate), verdict_text(verification))
        show("\nClass texts:", *(f"  {text!r}" for text in certificate.model["texts"]))
        show(f"\nWritten to {out}: certificate.json")
    return OK if verification.ok else REFUSED
