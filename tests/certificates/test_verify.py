"""Three lines of defence: edits break the digest; forgeries with a fresh digest break the arithmetic or the accounts.

The third, measuring again, is not in this room. What only it can find is listed in `test_beyond_the_file`: forged
statistics, fingerprints and declarations whose consequences were all recomputed.
"""

import contextlib
import copy
import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genbounds.certificates import Certificate, CertificateError, Finding, Sample, split, state, verify
from genbounds.certificates.content import digest
from genbounds.theorems import Assumption, Grid


def saved(content, tmp_path, *, fresh):
    if fresh:
        content["digest"] = digest(content)
    path = tmp_path / "certificate.json"
    path.write_text(json.dumps(content))
    return path


def in_file(certificate):
    return copy.deepcopy(certificate.to_json())


def test_a_true_certificate_holds(certificate, tmp_path):
    certificate.save(tmp_path / "certificate.json")
    verification = verify(tmp_path / "certificate.json")
    assert verification.ok, str(verification)
    assert verify(certificate).ok
    assert [finding.slack for finding in verification.findings if finding.slack] == [1e-12] * 3
    assert verification.to_json()["ok"] is True
    assert str(verification).endswith("The certificate holds.")


# Tampering: what is edited, where the refusal points, what it says.


def lower_a_digit(c):
    c["claims"][1]["value"] -= 1e-6


def lower_the_last_bit_of_the_limit(c):
    c["claims"][0]["value"] = math.nextafter(c["claims"][0]["value"] * (1 - 1e-9), 0)


def raise_delta(c):
    c["claims"][1]["inputs"]["delta"] *= 2


def lower_delta(c):
    c["claims"][1]["inputs"]["delta"] /= 2


def raise_a_budget(c):
    c["ledger"]["entries"][0]["budget"] *= 1.0000001


def lower_the_whole_delta(c):
    c["ledger"]["delta"] = 0.03


def type_a_budget_as_text(c):
    c["ledger"]["entries"][0]["budget"] = "0.025"


def double_n(c):
    c["claims"][1]["inputs"]["n"] *= 2


def double_n_everywhere(c):
    double_n(c)
    c["sample"]["roles"]["bound"]["count"] *= 2


def forget_a_union(c):
    c["ledger"]["entries"][0]["unions"] = []


def shrink_a_union(c):
    c["ledger"]["entries"][0]["unions"][0]["candidates"] = 40


def overspend_a_union(c):
    c["ledger"]["entries"][0]["unions"][0]["candidates"] = 42


def rename_a_union(c):
    c["ledger"]["entries"][0]["unions"][0]["over"] = "seed"


def overlap_roles(c):
    sample = Sample.from_json(c["sample"])
    bound = [*sample.indices("bound")[1:], sample.indices("prior")[0]]
    c["sample"]["roles"]["bound"] = Sample.of(800, {"bound": bound}, {"bound": "0" * 64}).to_json()["roles"]["bound"]


def swap_for_a_weaker_theorem(c):
    c["claims"][1]["theorem"] = "pac_bayes.maurer"


def swap_for_a_theorem_without_kl(c):
    c["claims"][1]["theorem"] = "pac_bayes.test_set_kl"


def drop_the_kl(c):
    claim = c["claims"][1]
    claim.update(theorem="pac_bayes.test_set_kl", predictor="deterministic")
    claim["assumptions"] = dict.fromkeys(
        ("INDEPENDENT_SAMPLE", "LOSS_IN_UNIT_INTERVAL", "PREDICTOR_INDEPENDENT_OF_SAMPLE"), "declared"
    )
    del claim["inputs"]["kl"]
    claim["inputs"]["risk"] = 0.03


def pass_gibbs_off_as_deterministic(c):
    drop_the_kl(c)
    c["claims"][1]["inputs"]["risk"] = {"claim": "gibbs-sample-risk"}


def learn_from_an_empty_role(c):
    c["sample"] = Sample.of(800, {"prior": [], "bound": range(400)}, {"prior": "0" * 64, "bound": "1" * 64}).to_json()
    c["prior"]["scale"]["chosen"] = "prior data"
    forget_a_union(c)


def pay_a_union_over_nothing_for_the_holdout_bound(c):
    argument = c["comparisons"][0]
    argument["ledger"]["entries"][0]["unions"] = [{"over": "nothing", "candidates": 10**9}]
    argument["claims"][0]["inputs"]["delta"] = argument["ledger"]["delta"] / 2e9
    argument["claims"][0]["value"] = 0.2


def pay_a_union_beyond_floats(c):
    argument = c["comparisons"][0]
    argument["ledger"]["entries"][0]["unions"] = [{"over": "nothing", "candidates": 2**63}] * 30


def call_another_bound_holdout(c):
    c["comparisons"][0].update(claims=copy.deepcopy(c["claims"]), headline="risk", ledger=copy.deepcopy(c["ledger"]))


def hold_out_for_another_loss(c):
    c["comparisons"][0]["claims"][0]["loss"] = "0-1 (errs by more than one)"


def count_pairs_at_the_price_of_one(c):
    for claim in c["claims"]:
        claim["loss"] = "0-1 (both of two draws err)"


def lower_the_kl(c):
    c["claims"][1]["inputs"]["kl"] = 0.5


def lower_the_posteriors_kl(c):
    c["posterior"]["kl"] = 0.5


def negative_kl(c):
    c["posterior"]["kl"] = c["claims"][1]["inputs"]["kl"] = -5.0


def forget_the_posterior(c):
    c["posterior"] = None


def forget_the_prior(c):
    c["prior"] = None


def forget_the_draws(c):
    c["draws"] = None


def remove_a_claim(c):
    del c["claims"][0]


def make_a_circle(c):
    c["claims"][1]["inputs"]["risk"] = {"claim": "risk"}


def quote_the_limit(c):
    c["headline"] = "gibbs-sample-risk"


def cover_the_mean_network(c):
    c["claims"][1]["predictor"] = "deterministic"


def call_it_otherwise(c):
    c["claims"][1]["quantity"] = "test error"


def remove_an_assumption(c):
    del c["claims"][1]["assumptions"]["IID"]


def violate_an_assumption(c):
    c["claims"][1]["assumptions"]["IID"] = "violated"


def remove_an_entry(c):
    del c["ledger"]["entries"][1]


def double_an_entry(c):
    c["ledger"]["entries"][1]["budget"] /= 2
    c["ledger"]["entries"].append(copy.deepcopy(c["ledger"]["entries"][1]))


def pay_for_nothing(c):
    c["ledger"]["entries"][1]["claim"] = "another"


def show_the_prior_the_bound(c):
    c["prior"]["saw"].append("bound")


def show_the_prior_the_test(c):
    c["prior"]["saw"].append("test")


def show_the_posterior_the_test(c):
    c["posterior"]["saw"].append("test")


def learn_from_nothing(c):
    c["prior"]["saw"] = []


def skip_monte_carlo(c):
    c["claims"][1]["inputs"]["risk"] = 120 / 4000


def claim_exactness(c):
    skip_monte_carlo(c)
    c["draws"]["scheme"] = "exact"


def share_the_draws(c):
    c["draws"]["scheme"] = "shared"


def count_more_epochs(c):
    c["draws"]["epochs"] = 20


def count_more_draws(c):
    c["claims"][0]["inputs"]["draws"] *= 2


def change_the_loss(c):
    c["claims"][0]["loss"] = "cross entropy"


def change_the_headlines_loss(c):
    c["claims"][1]["loss"] = "cross entropy"


def lower_the_holdout_bound(c):
    c["comparisons"][0]["claims"][0]["value"] -= 1e-6


def weaken_the_holdout_bound(c):
    claim = c["comparisons"][0]["claims"][0]
    claim["inputs"]["delta"] = 1e-6
    claim["value"] = 0.2


def hold_more_out(c):
    c["comparisons"][0]["claims"][0]["inputs"]["n"] = 500


def swap_digits_of_a_count(c):
    c["claims"][0]["inputs"]["errors"] = 210


TAMPERINGS = [
    (lower_a_digit, "risk", "is below what pac_bayes.seeger_xi gives"),
    (lower_the_last_bit_of_the_limit, "gibbs-sample-risk", "is below what pac_bayes.monte_carlo_binomial gives"),
    (raise_delta, "ledger", "the claim 'risk' spends .* more than its budget .* / 41 \\(prior scale\\)"),
    (lower_delta, "risk", "is below what"),
    (raise_a_budget, "ledger", "the budgets add up to .* more than delta = 0.035"),
    (lower_the_whole_delta, "ledger", "more than delta = 0.03"),
    (type_a_budget_as_text, "layout", r"ledger.entries\[0\].budget must be a finite number, got '0.025'"),
    (double_n, "risk", "n is 800, but the role bound has 400 examples"),
    (double_n_everywhere, "sample", "the role bound is said to have 800 examples, but 400 are marked"),
    (
        forget_a_union,
        "prior",
        "its scale was chosen from 41 candidates .* pays a union over 1 prior scale for the claim 'risk'",
    ),
    (shrink_a_union, "prior", "pays a union over 40 prior scales"),
    (overspend_a_union, "ledger", r"the claim 'risk' spends .* / 42 \(prior scale\)"),
    (rename_a_union, "prior", "pays a union over 1 prior scale "),
    (overlap_roles, "sample", "the roles prior and bound overlap: 1 in both, the first is number"),
    (swap_for_a_weaker_theorem, "risk", "is below what pac_bayes.maurer gives"),
    (swap_for_a_theorem_without_kl, "layout", r"claims\[1\].inputs must be risk, n, delta for pac_bayes.test_set_kl"),
    (drop_the_kl, "posterior", "it saw the bound's sample, but the claim 'risk' rests on pac_bayes.test_set_kl"),
    (
        pass_gibbs_off_as_deterministic,
        "layout",
        "inputs.risk must be a finite number, got {'claim': 'gibbs-sample-risk'}",
    ),
    (learn_from_an_empty_role, "prior", "the prior saw the role 'prior', which no example has"),
    (pay_a_union_over_nothing_for_the_holdout_bound, "holdout: ledger", "it is not at equal confidence"),
    (pay_a_union_beyond_floats, "holdout: ledger", "the claim 'holdout-risk' spends"),
    (call_another_bound_holdout, "holdout: ledger", "it is named holdout, but pac_bayes.seeger_xi is no theorem about"),
    (
        hold_out_for_another_loss,
        "holdout: ledger",
        "about the loss '0-1 .errs by more than one.*certificate is about '0-1'",
    ),
    (count_pairs_at_the_price_of_one, "risk", "its loss '0-1 .both of two draws err.' is no risk of a predictor"),
    (lower_the_kl, "posterior", "its KL divergence is 4.2, but the claim 'risk' has 0.5"),
    (lower_the_posteriors_kl, "posterior", "its KL divergence is 0.5, but the claim 'risk' has 4.2"),
    (negative_kl, "posterior", "posterior.kl must be a number of at least 0, got -5.0"),
    (forget_the_posterior, "posterior", "there is none, but the claim 'risk' has a KL divergence"),
    (forget_the_prior, "prior", "there is none, but the claim 'risk' rests on one"),
    (forget_the_draws, "draws", "there are none, but the claim 'gibbs-sample-risk' counts draws"),
    (remove_a_claim, "layout", r"claims\[0\].inputs.risk of the claim 'risk' refers to the claim 'gibbs-sample-risk'"),
    (make_a_circle, "layout", "claims rest on themselves: risk -> risk"),
    (quote_the_limit, "layout", "headline is the claim 'gibbs-sample-risk', which bounds the empirical Gibbs risk"),
    (
        cover_the_mean_network,
        "risk",
        "its predictor is said to be 'deterministic', but pac_bayes.seeger_xi is about 'gibbs'",
    ),
    (call_it_otherwise, "risk", "its quantity is said to be 'test error', but pac_bayes.seeger_xi is about 'risk'"),
    (remove_an_assumption, "risk", "assumes IID, of which the claim does not speak"),
    (violate_an_assumption, "risk", "IID is violated, so pac_bayes.seeger_xi does not apply"),
    (remove_an_entry, "ledger", "the claim 'gibbs-sample-risk' must have one entry, and has none"),
    (double_an_entry, "ledger", "the claim 'gibbs-sample-risk' must have one entry, and has 2"),
    (pay_for_nothing, "ledger", "there is an entry for 'another', which is no claim"),
    (show_the_prior_the_bound, "prior", "the prior saw examples of the role 'bound'"),
    (show_the_prior_the_test, "prior", "the prior saw examples of the role 'test'"),
    (show_the_posterior_the_test, "posterior", "the posterior saw examples of the role 'test'"),
    (learn_from_nothing, "prior", "it is learnt, but is said to have seen no example"),
    (skip_monte_carlo, "risk", "the Monte-Carlo step is missing"),
    (claim_exactness, "draws", "there are none \\(exact\\), but the claim 'gibbs-sample-risk' counts draws"),
    (share_the_draws, "draws", "shared by all examples, but the claim 'gibbs-sample-risk' needs one per example"),
    (count_more_epochs, "draws", "20 epochs over 400 examples of the bound are 8,000 draws, not 4,000"),
    (count_more_draws, "draws", "4,000 were made, but the claim 'gibbs-sample-risk' counts 8000"),
    (change_the_loss, "gibbs-sample-risk", "needs the 0-1 loss, got 'cross entropy'"),
    (change_the_headlines_loss, "risk", "its risk must be about the loss 'cross entropy', but .* is about '0-1'"),
    (lower_the_holdout_bound, "holdout: holdout-risk", "is below what pac_bayes.clopper_pearson gives"),
    (weaken_the_holdout_bound, "holdout: ledger", "it is not at equal confidence"),
    (hold_more_out, "holdout: holdout-risk", "n is 500, but the role bound has 400 examples"),
    (swap_digits_of_a_count, "gibbs-sample-risk", "is below what pac_bayes.monte_carlo_binomial gives"),
]


@pytest.mark.parametrize(("tamper", "where", "sentence"), TAMPERINGS, ids=[t[0].__name__ for t in TAMPERINGS])
def test_tampering_is_refused(certificate, tmp_path, tamper, where, sentence):
    content = in_file(certificate)
    tamper(content)
    edited = verify(saved(content, tmp_path, fresh=False))
    assert not edited.ok
    assert edited.refusals[0].where == "digest"
    assert "the content was edited" in edited.refusals[0].sentence
    forged = verify(saved(content, tmp_path, fresh=True))
    assert not forged.ok
    assert forged.findings[0] == Finding("digest", True, "the content is what was digested.")
    found = [finding.sentence for finding in forged.refusals if finding.where == where]
    assert any(re.search(sentence, told) for told in found), str(forged)


def test_the_digest_alone(certificate, tmp_path):
    content = in_file(certificate)
    content["digest"] = "sha256:" + "0" * 64
    (refusal,) = verify(saved(content, tmp_path, fresh=False)).refusals
    assert refusal.where == "digest"
    assert verify(saved(content, tmp_path, fresh=True)).ok


@pytest.mark.parametrize("section", ["notes", "versions", "estimates", "model"])
def test_the_digest_covers_what_nothing_else_checks(certificate, tmp_path, section):
    content = in_file(certificate)
    content[section] = type(content[section])()
    (refusal,) = verify(saved(content, tmp_path, fresh=False)).refusals
    assert refusal.where == "digest"


def test_a_tighter_theorem_with_the_same_inputs(build, tmp_path):
    """Renaming is no forgery where the value is proved by the other theorem too; with the other's value, it is."""
    weak = build(theorem="pac_bayes.maurer")
    content = in_file(weak)
    content["claims"][1]["theorem"] = "pac_bayes.seeger_xi"
    renamed = verify(saved(content, tmp_path, fresh=True))
    assert renamed.ok
    assert max(finding.slack or 0 for finding in renamed.findings) > 1e-6
    content["claims"][1].update(theorem="pac_bayes.maurer", value=build(theorem="pac_bayes.seeger_xi").value)
    assert [refusal.where for refusal in verify(saved(content, tmp_path, fresh=True)).refusals] == ["risk"]


def forge_the_kl(c, build):
    return build(kl=0.5)


def forge_the_errors(c, build):
    return build(errors=60)


def forge_the_roles(c, build):
    return build(prior=100, bound=600)


def choose_the_scale_afterwards(c, build):
    return build(candidates=1)


def forge_a_fingerprint(c, build):
    c["sample"]["roles"]["bound"]["content_sha256"] = "f" * 64


def vouch_for_an_assumption(c, build):
    c["claims"][1]["assumptions"]["IID"] = "checked"


def hide_what_the_prior_saw(c, build):
    c["prior"].update(saw=[], kind="initialisation")


def forge_an_estimate(c, build):
    c["estimates"][0].update(value=0.001, interval=[0.0, 0.002])


def forge_the_holdout_errors(c, build):
    return build(held_out_errors=30)


@pytest.mark.parametrize(
    "forge",
    [
        forge_the_kl,
        forge_the_errors,
        forge_the_roles,
        choose_the_scale_afterwards,
        forge_a_fingerprint,
        vouch_for_an_assumption,
        hide_what_the_prior_saw,
        forge_an_estimate,
        forge_the_holdout_errors,
    ],
)
def test_beyond_the_file(certificate, build, tmp_path, forge):
    """Consistent lies are not found without the model and the data: this is what measuring again is for."""
    content = in_file(certificate)
    forged = forge(content, build)
    assert verify(saved(forged.to_json() if forged else content, tmp_path, fresh=True)).ok


@given(
    errors=st.integers(0, 4000),
    kl=st.floats(0, 1000),
    delta=st.floats(1e-6, 0.9),
    candidates=st.integers(1, 1000),
    theorem=st.sampled_from(["maurer", "seeger_xi", "mcallester", "quadratic", "tolstikhin", "thiemann", "catoni"]),
)
@settings(max_examples=30)
def test_what_is_stated_always_verifies(build, errors, kl, delta, candidates, theorem):
    extra = {"thiemann": {"lam": 0.7}, "catoni": {"C": Grid([0.5, 1.0, 2.0])}}.get(theorem)
    made = build(errors=errors, kl=kl, delta=delta, candidates=candidates, theorem=f"pac_bayes.{theorem}", extra=extra)
    assert verify(made).ok, str(verify(made))
    content = in_file(made)
    lowered = made.value * (1 - 1e-9)
    content["claims"][1]["value"] = lowered
    content["digest"] = ""
    content = json.loads(json.dumps(content | {"digest": digest(content)}))
    assert [refusal.where for refusal in verify(Certificate.from_json(content)).refusals] == ["risk"]


def test_shared_draws(build, tmp_path):
    made = build(values=[0.03, 0.031, 0.029, 0.03] * 25)
    assert verify(made).ok, str(verify(made))
    content = in_file(made)
    content["claims"][0]["inputs"]["values"].append(0.0)
    assert "100 were made, but the claim 'gibbs-sample-risk' counts 101" in str(
        verify(saved(content, tmp_path, fresh=True))
    )


def test_a_limit_does_not_rest_on_a_limit(build):
    limit, _ = build(candidates=1).claims
    drawn = {"risk": limit, "draws": 4000, "delta": 0.001}
    with pytest.raises(CertificateError, match=r"claim 'again'.inputs.risk must be a finite number, got {'claim'"):
        state("pac_bayes.monte_carlo_kl", "again", drawn, assumptions=dict.fromkeys(Assumption, "declared"))


def test_exact_risk_needs_no_draws(build, restated):
    made = build(candidates=1)
    _, headline = made.claims
    exact = restated(headline, risk=0.03)
    ledger = dataclasses.replace(made.ledger, entries=made.ledger.entries[:1])
    plain = dataclasses.replace(made, claims=(exact,), ledger=ledger, draws={"scheme": "exact"}, digest="")
    assert verify(plain).ok, str(verify(plain))
    assert "is stated as exact: no Monte-Carlo step" in str(plain)
    assert "Monte-Carlo step is missing" in str(verify(dataclasses.replace(plain, draws=None, digest="")))


def test_a_holdout_bound_on_a_part_of_the_data(build, restated):
    made = build()
    comparison = made.comparisons[0]
    part = dataclasses.replace(comparison, claims=(restated(comparison.claims[0], n=200),))
    assert verify(dataclasses.replace(made, comparisons=(part,), digest="")).ok


@pytest.mark.parametrize(
    ("section", "change", "sentence"),
    [
        ("prior", {"kind": None}, "prior.kind must be a text"),
        ("prior", {"saw": "bound"}, "prior.saw must be a list"),
        ("prior", {"saw": [["bound"]]}, "prior.saw must be a text"),
        ("prior", {"saw": ["selection"]}, "the prior saw the role 'selection', which no example has"),
        ("prior", {"scale": 0.03}, "prior.scale must be a table"),
        ("prior", {"scale": {"chosen": "by eye"}}, "prior.scale.chosen must be one of"),
        ("prior", {"scale": {"chosen": "grid"}}, "prior.scale.candidates must be a whole number"),
        (
            "prior",
            {"kind": "zero", "saw": [], "scale": {"chosen": "prior data"}},
            "chosen on the prior's data, but it is said",
        ),
        ("posterior", {"kl": None}, "posterior.kl must be a number of at least 0"),
        ("draws", {"scheme": "batched"}, "draws.scheme must be one of"),
        ("draws", {"epochs": None}, "draws.epochs must be a whole number"),
    ],
)
def test_malformed_sections_are_findings(certificate, section, change, sentence):
    changed = dataclasses.replace(certificate, **{section: {**getattr(certificate, section), **change}}, digest="")
    refusals = verify(changed).refusals
    assert any(refusal.where == section and sentence in refusal.sentence for refusal in refusals), refusals


def places(content, above=()):
    yield from [above] if above else []
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield from places(value, (*above, key))


SCALARS = st.sampled_from([None, True, 0, -1, 1, 0.5, 1e300, 1e-320, 2**60, "", "bound", "risk"])
TABLES = st.sampled_from([{}, {"claim": "risk"}, {"grid": [1.0], "weights": [0.0]}, {"grid": [1.0], "weights": [2.0]}])
ANYTHING = SCALARS | TABLES | st.lists(SCALARS, max_size=2) | st.just([["bound"]])


@given(data=st.data())
@settings(max_examples=150)
def test_no_edit_makes_it_crash(certificate, data):
    """Whatever stands in a file, the answer is a verdict or a sentence."""
    content = in_file(certificate)
    *way, last = data.draw(st.sampled_from(list(places(content))))
    inside = content
    for key in way:
        inside = inside[key]
    inside[last] = data.draw(ANYTHING)
    content["digest"] = digest(content)
    with contextlib.suppress(CertificateError):
        edited = Certificate.from_json(content)
        assert verify(edited).findings
        assert str(edited)


def test_files_that_are_no_certificates(tmp_path):
    with pytest.raises(CertificateError, match=r"^no.json is not there"):
        verify(tmp_path / "no.json")
    whole = json.dumps({"schema": "genbounds.certificate/1"})
    for raw, where, sentence in (
        (whole[:-3], "file", "not JSON"),
        ("[]", "file", "one table"),
        ('{"model": ' * 900 + "1" + "}" * 900, "file", "more than 64 tables and lists within one another"),
        ("{}", "layout", "schema must be"),
        (whole, "layout", "digest must be a text"),
    ):
        (tmp_path / "c.json").write_text(raw)
        refusal = verify(tmp_path / "c.json").refusals[-1]
        assert refusal.where == where
        assert sentence in refusal.sentence


def test_findings_can_be_added(certificate):
    verification = verify(certificate)
    worse = verification.extended(Finding("posterior", False, "its errors were counted again: 130, not 120."))
    assert verification.ok
    assert not worse.ok
    assert "REFUSED posterior: its errors were counted again" in str(worse)
    assert str(worse).endswith("1 of its parts fail.")


def test_splits_verify_at_any_delta(build):
    for delta in (0.1, 0.3, 0.035, 1 / 3):
        assert sum(split(delta, [5, 2])) <= delta
        assert verify(build(delta=delta)).ok


def test_mnist_size_is_fast(build, tmp_path):
    large = build(prior=30_000, bound=30_000, test=1, errors=3120, epochs=10, kl=4.2, held_out_errors=390)
    large.save(tmp_path / "certificate.json")
    start = time.perf_counter()
    verification = verify(tmp_path / "certificate.json")
    elapsed = time.perf_counter() - start
    assert verification.ok, str(verification)
    assert elapsed < 1


def test_a_fresh_process_is_fast(certificate, tmp_path):
    certificate.save(tmp_path / "certificate.json")
    path = str(tmp_path / "certificate.json")
    code = f"from genbounds.certificates import verify; raise SystemExit(0 if verify({path!r}).ok else 3)"
    start = time.perf_counter()
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0
    assert time.perf_counter() - start < 3  # half a second here; three where the machine is busy
