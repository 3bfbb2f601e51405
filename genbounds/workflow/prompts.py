"""From labelled texts, an encoder and a language model to a certificate for prompts, and back to its numbers."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from genbounds.certificates import (
    Certificate,
    Claim,
    Comparison,
    Estimate,
    Finding,
    Ledger,
    LedgerEntry,
    Sample,
    Verification,
    state,
    verify,
)
from genbounds.models.splits import ROLES, Roles, in_halves
from genbounds.pac_bayes import occam_binomial
from genbounds.prompts.classifier import PromptClassifier, check_encoder
from genbounds.prompts.code_lengths import total_cost, uniform_code_length
from genbounds.prompts.encoder import TextEncoder
from genbounds.prompts.form import PromptForm
from genbounds.prompts.language_model import LanguageModelPrior
from genbounds.prompts.search import Found, greedy_search, telling_tokens
from genbounds.theorems import Assumption
from genbounds.version import __version__
from genbounds.workflow.composition import HEADLINE, error_estimate, holdout_comparison, repetition_notes

__all__ = ["certify_prompt", "load_prompts", "remeasure_prompt"]

#: Texts that are encoded by themselves to see what batches change.
_PROBED = 32

#: By how much a code length may differ when another machine or version evaluates the prior.
_TOLERANCE = 1e-3

#: What may differ where a certificate is measured again.
_PLACE = {"folder_sha256", "dtype", "device"}

#: What the program sees to; that the two models, classes, names and template never saw the sample, nor what prompts
#: for the holdout bound are tested on, is for the user to say.
_CHECKED = {Assumption.ZERO_ONE_LOSS, Assumption.DETERMINISTIC_EVALUATION}
_STATUSES = {assumption: "checked" if assumption in _CHECKED else "declared" for assumption in Assumption}


@dataclass(frozen=True)
class _Task:
    """Everything a search needs, for any part of the examples."""

    prior: LanguageModelPrior
    encoder: TextEncoder
    form: PromptForm
    texts: Sequence[str]
    targets: Tensor
    features: Tensor

    def search(
        self, chosen: NDArray[np.int64], delta: float, candidates: int, watch: Callable[[Found], None] | None = None
    ) -> Found:
        """Search prompts for the Occam bound on some of the examples."""
        targets = self.targets[chosen]
        telling = None
        if not self.form.shared:
            # Within a sentence most words are one token with the space before them.
            tokens = [self.prior.encode(f" {self.texts[number]}") for number in chosen]
            telling = telling_tokens(tokens, targets.tolist(), len(self.form.names), candidates // 2)
        return greedy_search(
            self.prior,
            self.encoder,
            self.form,
            self.features[chosen],
            targets,
            partial(occam_binomial, n=len(chosen), delta=delta),
            candidates=candidates,
            telling=telling,
            watch=watch,
        )

    def classifier(self, prompts: Sequence[Sequence[int]]) -> PromptClassifier:
        """Build the classifier of some prompts."""
        return PromptClassifier(self.encoder, self.form, [self.prior.decode(tokens) for tokens in prompts])

    def errors(self, classifier: PromptClassifier, chosen: NDArray[np.int64]) -> int:
        """Count a classifier's errors on some of the examples."""
        return classifier.errors(self.features[chosen], self.targets[chosen])

    def costs(self, prompts: Sequence[Sequence[int]]) -> list[float]:
        """Return the code length of each prompt."""
        contexts = [self.prior.encode(text) for text in self.form.contexts]
        pairs = zip(prompts, contexts, strict=True)
        return [self.prior.code_length(tokens, context) for tokens, context in pairs]


def certify_prompt(
    texts: Sequence[str],
    labels: Sequence[str],
    encoder: TextEncoder,
    prior: LanguageModelPrior,
    *,
    names: Mapping[str, str] | None = None,
    template: str | None = None,
    shared: bool = False,
    roles: Roles | Mapping[str, ArrayLike] | None = None,
    delta: float = 0.05,
    candidates: int = 128,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = False,
    watch: Callable[[Found], None] | None = None,
) -> Certificate:
    """Certify the 0-1 risk of a text classifier that was made by searching prompts.

    A text gets the class whose own text, its name and a prompt, is nearest in the encoder's space. The prompts are
    searched on the whole of the bound's sample, by the bound itself: it holds for all prompts at once, and each pays
    its code length under the language model. The certificate is about the one classifier that was found.

    Parameters
    ----------
    texts : sequence of str
        Examples, independent draws from one distribution.
    labels : sequence of str
        Their classes. Without `names` the task has those classes that occur here, which you thereby declare to have
        been known before.
    encoder : TextEncoder
        Encoder whose training did not see the examples.
    prior : LanguageModelPrior
        Language model whose training did not see them either.
    names : mapping of str to str, optional
        All classes, and what each is called in its text; by default the label itself. Like `template` chosen without
        the sample.
    template : str, optional
        As in `PromptForm`: ``{name}{prompt}`` by default, or ``{prompt} {name}`` for a shared prompt.
    shared : bool
        One prompt for all classes rather than one for each.
    roles : Roles or mapping of str to indices, optional
        Which examples are ``bound`` and ``test``. By default a random fifth is ``test`` and the rest ``bound``.
    delta : float
        Probability that the certificate may fail, in (0, 1).
    candidates : int
        Tokens to try at each step of each prompt: the likeliest, and half as many that tell its class from the others
        in the sample. At least 2.
    seed : int
        Seed of the random split, and of the halves for the holdout bound.
    out : str or Path, optional
        Folder for ``certificate.json``.
    progress : bool
        Show a bar on a terminal while the texts are encoded.
    watch : callable, optional
        Called with each new best of the search, a `Found`.

    Returns
    -------
    Certificate
        Headline ``pac_bayes.occam_binomial`` about the deterministic classifier. Beside it, at the same confidence:
        the same prompts paid for by a uniform prior over the vocabulary, and the exact holdout bound for prompts that
        were searched on one half of the sample and tested on the other.

    Raises
    ------
    ValueError
        If texts and labels do not match, a class has no name, the roles have no bound, or an argument is impossible.
    """
    if len(texts) != len(labels):
        raise ValueError(f"labels must be as many as the texts, {len(texts)}, got {len(labels)}. Give one for each.")
    classes = sorted(set(labels) if names is None else names)
    if missing := sorted(set(labels) - set(classes)):
        raise ValueError(f"names must have a name for every label, got none for {missing[0]!r}. Add it.")
    called = tuple(classes if names is None else [names[label] for label in classes])
    form = PromptForm(called, template or ("{prompt} {name}" if shared else "{name}{prompt}"), shared)
    assigned = _roles(len(texts), roles, seed)
    bound, test, n = assigned.indices("bound"), assigned.indices("test"), assigned.count("bound")
    occam_binomial(0, 0.0, n, delta)  # an impossible delta is refused before an hour of work
    features = encoder.embed(texts, progress=progress)
    check_encoder(encoder, [texts[number] for number in bound[:_PROBED]], features[bound[:_PROBED]])
    targets = torch.tensor([classes.index(label) for label in labels])
    task = _Task(prior, encoder, form, texts, targets, features)

    prompts = task.search(bound, delta, candidates, watch).prompts
    classifier, costs = task.classifier(prompts), task.costs(prompts)
    errors = task.errors(classifier, bound)
    headline = _occam(HEADLINE, errors, total_cost(costs), n, delta)
    uniform = (float(uniform_code_length(len(tokens), len(prior.vocabulary), prior.longest)) for tokens in prompts)
    by_uniform = _occam("risk, uniform prior", errors, total_cost(uniform), n, delta)
    estimates: tuple[Estimate, ...] = ()
    if len(test):
        found = task.errors(classifier, test)
        estimates = (error_estimate("test error", "Error of the classifier on test data.", found, len(test)),)
    used = [role for role in ROLES if assigned.count(role)]
    owners = ["prompt"] if form.shared else classes
    hashes = _hashes(texts, labels)
    certificate = Certificate(
        headline=HEADLINE,
        claims=(headline,),
        ledger=Ledger(delta, (LedgerEntry(HEADLINE, delta),)),
        sample=Sample.of(
            len(texts),
            {role: assigned.indices(role) for role in used},
            {role: _content_sha256(hashes, assigned.indices(role)) for role in used},
        ),
        model=encoder.describe()
        | {
            "classes": len(classes),
            "labels": classes,
            "names": list(form.names),
            "template": form.template,
            "shared": form.shared,
            "prompts": [prior.decode(tokens) for tokens in prompts],
            "texts": classifier.texts,
        },
        prior=prior.describe(),
        posterior=None,
        draws=None,
        code={
            "nats": headline.inputs["code_length"],
            "parts": dict(zip(owners, costs, strict=True)),
            "tokens": [list(tokens) for tokens in prompts],
            "sha256": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
        },
        comparisons=(
            _holdout(task, bound, delta, candidates, seed),
            Comparison(
                "uniform prior",
                f"The same prompts under a uniform prior over {len(prior.vocabulary):,} tokens.",
                (by_uniform,),
                by_uniform.id,
                Ledger(delta, (LedgerEntry(by_uniform.id, delta),)),
            ),
        ),
        estimates=estimates,
        notes=repetition_notes(hashes, assigned),
        versions={
            "genbounds": __version__,
            "transformers": version("transformers"),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        certificate.save(Path(out) / "certificate.json")
    return certificate


def _occam(id: str, errors: int, code_length: float, n: int, delta: float) -> Claim:
    inputs = {"errors": errors, "code_length": code_length, "n": n, "delta": delta}
    return state("pac_bayes.occam_binomial", id, inputs, assumptions=_STATUSES)


def _holdout(task: _Task, bound: NDArray[np.int64], delta: float, candidates: int, seed: int) -> Comparison:
    """Search on one half of the sample, test on the other."""
    searched, tested = in_halves(bound, seed)
    errors = task.errors(task.classifier(task.search(searched, delta, candidates).prompts), tested)
    what = f"Prompts searched on {len(searched)} examples of the bound's sample, tested on the other {len(tested)}."
    return holdout_comparison(errors, len(tested), delta, what, _STATUSES)


def _roles(n: int, roles: Roles | Mapping[str, ArrayLike] | None, seed: int) -> Roles:
    if roles is None:
        return Roles.random(n, {"bound": 0.8, "test": 0.2}, seed)
    assigned = roles if isinstance(roles, Roles) else Roles.from_indices(n, roles)
    if len(assigned) != n or not assigned.count("bound"):
        wanted = f"roles must be for the {n} texts, some of them with the role bound"
        raise ValueError(f"{wanted}, got {len(assigned)} and {assigned.count('bound')}. Add the missing ones.")
    return assigned


def _hashes(texts: Sequence[str], labels: Sequence[str]) -> list[str]:
    pairs = zip(texts, labels, strict=True)
    return [hashlib.sha256(json.dumps([text, label]).encode()).hexdigest() for text, label in pairs]


def _content_sha256(hashes: Sequence[str], indices: NDArray[np.int64]) -> str:
    return hashlib.sha256("".join(hashes[number] for number in indices).encode()).hexdigest()


def load_prompts(path: str | Path, encoder: TextEncoder) -> PromptClassifier:
    """Load the classifier that a certificate is about.

    Parameters
    ----------
    path : str or Path
        ``certificate.json`` that `certify_prompt` wrote.
    encoder : TextEncoder
        The encoder it names.

    Returns
    -------
    PromptClassifier
        The classifier; `predict` gives numbers of the certificate's labels.
    """
    model = Certificate.load(path).model
    return PromptClassifier(encoder, _form(model), model["prompts"])


def _form(model: Mapping[str, Any]) -> PromptForm:
    return PromptForm(tuple(model["names"]), model["template"], model["shared"])


def remeasure_prompt(
    path: str | Path, texts: Sequence[str], labels: Sequence[str], encoder: TextEncoder, prior: LanguageModelPrior
) -> Verification:
    """Verify a certificate for prompts and measure again what it rests on: data, models, code length and errors.

    Another machine or version evaluates the language model with other last digits: a code length is accepted that is
    above the certified one by less than a thousandth. That names and template were fixed without the sample, and that
    neither model was trained on it, no measurement can tell.

    Parameters
    ----------
    path : str or Path
        ``certificate.json`` that `certify_prompt` wrote.
    texts, labels : sequence of str
        The data, as in `certify_prompt`.
    encoder : TextEncoder
        The encoder.
    prior : LanguageModelPrior
        The language model, with the same start token and greatest length.

    Returns
    -------
    Verification
        The findings of `verify`, and those of the measurement.
    """
    checked = verify(path)
    if not checked.ok:
        return checked
    return checked.extended(*_findings(Certificate.load(path), texts, labels, encoder, prior))


def _findings(
    certificate: Certificate,
    texts: Sequence[str],
    labels: Sequence[str],
    encoder: TextEncoder,
    prior: LanguageModelPrior,
) -> Iterator[Finding]:
    code, model, sample = certificate.code, certificate.model, certificate.sample
    if code is None or "tokens" not in code or certificate.prior is None:
        yield Finding("prompts", False, "the certificate is not about prompts.")
        return
    if len(texts) != sample.examples:
        yield Finding(
            "data", False, f"there are {len(texts):,} texts, the certificate's sample has {sample.examples:,}."
        )
        return
    hashes = _hashes(texts, labels)
    for name, role in sample.roles.items():
        same = _content_sha256(hashes, sample.indices(name)) == role.content_sha256
        yield Finding(f"data: {name}", same, "the examples are the certificate's." if same else "other examples.")
        if not same:
            return
    for name, described, section in (
        ("encoder", encoder.describe(), model),
        ("language model", prior.describe(), certificate.prior),
    ):
        differing = [key for key, value in described.items() if key not in _PLACE and section[key] != value]
        sentence = f"other {', '.join(differing)}." if differing else "it is the certificate's."
        yield Finding(name, not differing, sentence)
    bound = sample.indices("bound")
    chosen = [texts[number] for number in bound]
    targets = torch.tensor([model["labels"].index(labels[number]) for number in bound])
    task = _Task(prior, encoder, _form(model), chosen, targets, encoder.embed(chosen))
    decoded = [prior.decode(tokens) for tokens in code["tokens"]]
    same = decoded == model["prompts"]
    yield Finding("prompts", same, "the tokens are those of the texts." if same else "the tokens are of other texts.")
    nats, length = total_cost(task.costs(code["tokens"])), code["nats"]
    holds = nats <= length * (1 + _TOLERANCE)
    yield Finding("code length", holds, f"measured {nats!r} nats, stated {length!r}.")
    errors, said = task.errors(task.classifier(code["tokens"]), np.arange(len(bound))), certificate.basis[-1].inputs
    yield Finding("error count", errors <= said["errors"], f"measured {errors:,} errors, stated {said['errors']:,}.")
