"""The one call: margins against a loop, spectra against numpy, refusals, and a record that is read back."""

import json
import re

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.cli.app import main
from genbounds.measures import (
    audit,
    falsify,
    fit_bulk,
    head_curvature,
    layer_spectra,
    measure_network,
    norm_measures,
    operator_norm_measures,
    output_measures,
    path_norm,
    read_measures,
    score_margins,
    weight_layers,
)
from genbounds.models.data import load_data
from genbounds.models.guards import ModelError
from genbounds.models.state import save_state


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(12, 60), nn.ReLU(), nn.Linear(60, 4)).eval()


def examples(n=50, seed=0):
    rng = np.random.default_rng(seed)
    return load_data((torch.tensor(rng.standard_normal((n, 3, 4)), dtype=torch.float32), torch.arange(n) % 4))


def test_margins_are_those_of_a_loop():
    model, data = network().double(), examples()
    found = score_margins(model, data, dtype=torch.float64)
    (_, inputs, targets), *rest = data.batches(np.arange(50), 50, dtype=torch.float64)
    assert not rest
    scores = model(inputs).detach().numpy()
    for row, target, margin in zip(scores, targets.tolist(), found, strict=True):
        assert margin == pytest.approx(row[target] - max(np.delete(row, target)), abs=1e-12)


def test_a_model_in_training_mode_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)).train()
    with pytest.raises(ModelError):
        score_margins(model, examples())


def test_scores_that_are_not_finite_are_refused():
    model = network()
    with torch.no_grad():
        model[3].bias[1] = torch.nan
    with pytest.raises(ModelError):
        score_margins(model, examples())


def test_the_one_call_gives_what_the_parts_give():
    model, before, data = network(1), network(2), examples()
    found = measure_network(model, initial=before, data=data)
    margin = float(np.quantile(score_margins(model, data), 0.1))
    parts = norm_measures(weight_layers(model), weight_layers(before), margin=margin)
    shaped = path_norm(model, (3, 4)), operator_norm_measures(model, torch.zeros(1, 3, 4))
    assert found["log_prod_of_operator_norms"] == pytest.approx(found["log_prod_of_spec"])  # no convolution
    assert found.measured[:-3] == (*parts.measured, *output_measures(model, data), *shaped)
    head = head_curvature(model, data)
    assert [each.value for each in found.measured[-3:]] == [
        head.relative_flatness,
        head.trace,
        head.largest.largest,
    ]
    assert found.refused[:-1] == parts.refused
    assert found.refused[-1].name == "sharpness"
    assert found.layers == layer_spectra(weight_layers(model))
    assert measure_network(model.state_dict()).layers[0].largest == pytest.approx(found.layers[0].largest)


def test_sharpness_on_request_with_all_forms_and_their_radii():
    model, data = network(1).double(), examples(40)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(3)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    ((_, x, y),) = data.batches(np.arange(40), 40, dtype=torch.float64)
    for _ in range(200):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    found = measure_network(model, initial=network(1), data=data, sharpness=True)
    for name, form in {
        "pac_bayes_flatness": found["noise_radius"] ** -2,
        "pac_bayes_mag_flatness": found["noise_radius_scaled"] ** -2,
        "sharpness_flatness": found["ascent_radius"] ** -2,
        "sharpness_mag_flatness": found["ascent_radius_scaled"] ** -2,
    }.items():
        assert found[name] == pytest.approx(form)
    weights = torch.cat([value.detach().flatten() for value in model.parameters()])
    known = float(weights.square().sum()) / (4 * found["noise_radius"] ** 2)
    assert found["pac_bayes_orig"] == pytest.approx(known + np.log(40 / found["noise_radius"]) + 10)
    assert found["pac_bayes_init"] != pytest.approx(found["pac_bayes_orig"])
    assert found["worst_sharpness"] > 0
    assert not [each.name for each in found.refused]
    again = measure_network(model, initial=network(1), data=data, sharpness=True)
    assert again == found
    without = measure_network(model, data=data, sharpness=True)
    assert [each.name for each in without.refused][-1] == "forms with initial weights"
    with pytest.raises(ModelError, match="initial must hold"):
        measure_network(model, initial={"1.weight": x}, data=data, sharpness=True)


def test_spectra_of_layers():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((300, 100))
    noise[:, 0] += 5  # one direction beyond the noise
    wide, narrow = layer_spectra(weight_layers({"a": torch.tensor(noise), "b": torch.eye(5)}))
    values = np.linalg.svd(noise, compute_uv=False) ** 2
    assert wide.largest == pytest.approx(values.max())
    assert wide.stable_rank == pytest.approx(values.sum() / values.max())
    assert wide.bulk.variance == pytest.approx(fit_bulk(values, 300, 100).variance)
    assert wide.bulk.spikes == 1
    assert wide.power_law is not None
    assert wide.alpha_weighted == pytest.approx(wide.power_law.alpha * np.log10(values.max()))
    assert wide.log_alpha_norm == pytest.approx(np.log10(np.sum(values**wide.power_law.alpha)))
    assert narrow.power_law is None
    assert narrow.bulk is None
    assert narrow.alpha_weighted is None
    assert "at least 50" in narrow.reasons[0]
    assert "at least 20" in narrow.reasons[1]


def test_rescaling_neurons_moves_the_exponent_and_not_the_function():
    """Function-preserving: the exponent is no property of the function. The published pair went from 23.8 to 2.2."""
    rng = np.random.default_rng(4)
    first, second = rng.standard_normal((400, 784)) / 28, rng.standard_normal((400, 400)) / 20
    scale = (1 - rng.random(400)) ** -1.0
    inputs = rng.standard_normal((7, 784))
    outputs = [
        np.maximum(inputs @ a.T, 0) @ b.T for a, b in ((first, second), (scale[:, None] * first, second / scale))
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-9, atol=1e-12)
    before, after = (
        layer_spectra(weight_layers({"a": torch.tensor(a)}), simulations=9)[0].power_law.alpha
        for a in (first, scale[:, None] * first)
    )
    assert before > 6
    assert after < 3


def test_data_without_a_module_are_refused():
    with pytest.raises(ModelError, match="module where data"):
        measure_network(network().state_dict(), data=examples())


def test_the_record_with_spectra_is_read_back(tmp_path):
    found = measure_network(network(), data=examples())
    found.save(tmp_path / "measures.json")
    read = read_measures(tmp_path / "measures.json")
    assert read.layers == found.layers
    assert read.measured == found.measured


def test_the_command_on_a_bare_checkpoint_and_on_a_network(tmp_path, capsys):
    save_state(network().state_dict(), tmp_path / "weights.safetensors")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\ndef build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(12, 60), nn.ReLU(), nn.Linear(60, 4))\n",
        encoding="utf-8",
    )
    np.savez(tmp_path / "data.npz", x=np.random.default_rng(0).standard_normal((40, 3, 4)), y=np.arange(40) % 4)
    out = ["--out", str(tmp_path / "out.json")]
    assert main(["measure", str(tmp_path / "weights.safetensors"), *out]) == 0
    printed = capsys.readouterr().out
    assert "fro_over_spec" in printed
    refused = printed[printed.index("Not measured") :]
    assert re.search(r"log_spec_init_main, fro_dist, dist_spec_init +it needs the weights before", refused)
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "fro_over_spec" in page.replace("<wbr>", "")
    assert "it needs the weights before" in page
    page_first = ["measure", str(tmp_path / "weights.safetensors"), "--out", str(tmp_path / "out.html")]
    assert main(page_first) != 0
    assert "the name of the page beside it" in " ".join(capsys.readouterr().err.split())
    full = ["--model", f"{tmp_path / 'net.py'}:build", "--data", str(tmp_path / "data.npz")]
    full += ["--initial", str(tmp_path / "weights.safetensors"), "--json"]
    assert main(["measure", str(tmp_path / "weights.safetensors"), *full, *out]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {each["name"]: each["value"] for each in content["measured"]}["fro_dist"] == 0
    assert main(["measure", str(tmp_path / "weights.safetensors"), "--data", "digits", *out]) != 0
    assert "--model" in capsys.readouterr().err


class Dropping(nn.Module):
    """Drop outputs whatever its mode is."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 4)

    def forward(self, x):
        return nn.functional.dropout(self.layer(x.flatten(1)), 0.5, training=True)


def test_a_network_that_draws_while_it_runs_is_refused_at_every_door():
    model, data = Dropping().eval(), examples()
    for door in (
        lambda: measure_network(model, data=data),
        lambda: audit(model, data, lambda *_: 0.0),
        lambda: falsify(model, data, range(9), lambda *_: 0.0),
    ):
        with pytest.raises(ModelError, match="same outputs twice"):
            door()


def test_a_network_of_zeros_gets_refusals_and_not_an_error():
    model = network()
    with torch.no_grad():
        for value in model.parameters():
            value.zero_()
    found = measure_network(model, data=examples(), sharpness=True)
    refused = {each.name for each in found.refused}
    assert {"adaptive_worst_sharpness", "noise_radius and its forms", "log_prod_of_spec"} <= refused
    assert found["worst_sharpness"] >= 0


def test_a_pair_of_tensors_is_data():
    model, pair = nn.Linear(3, 4).eval(), (torch.randn(20, 3), torch.arange(20) % 4)
    assert measure_network(model, data=pair) == measure_network(model, data=load_data(pair))
