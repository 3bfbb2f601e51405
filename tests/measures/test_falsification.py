"""Truths consistent with one input: exact risks by counting, every risk in between, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genbounds.cli.app import main
from genbounds.measures import falsify
from genbounds.models.data import load_data
from genbounds.models.examples import DataError
from genbounds.models.guards import ModelError
from genbounds.models.state import save_state


def network(classes=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, classes)).eval()


def examples(n=200, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 5, generator=generator), torch.randint(0, classes, (n,), generator=generator)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 199), st.integers(2, 5), st.integers(0, 5))
def test_risks_are_those_of_counting(n, classes, seed):
    x, y = examples(classes=classes, seed=seed)
    model = network(classes)
    wrong = (model(x).argmax(1) != y).numpy()
    found = falsify(model, load_data((x, y)), range(n), lambda *_: 0.0)
    risks = {truth.name: truth.risk for truth in found.truths}
    assert risks["the network's own labels"] == pytest.approx(wrong[:n].sum() / 200)
    assert risks["labels of the data"] == pytest.approx(wrong.mean())
    assert risks["always another class"] == pytest.approx((wrong[:n].sum() + 200 - n) / 200)
    mean, spread = (wrong[:n].sum() + (200 - n) * (1 - 1 / classes)) / 200, math.sqrt(200 - n) / 400
    assert abs(risks["random labels"] - mean) <= 6 * spread
    assert list(risks.values()) == sorted(risks.values())
    assert found.interval == (min(risks.values()), max(risks.values()))
    assert found.floor() == pytest.approx(np.var(list(risks.values())))
    assert found.floor([1] + [0] * 3) == pytest.approx(0, abs=1e-15)


def test_the_measure_is_evaluated_once_and_sees_the_sample_alone():
    (x, y), seen = examples(), []

    def measure(model, inputs, targets):
        seen.append((inputs, targets))
        return {"a": 0.3, "b": math.inf}

    found = falsify(network(), load_data((x, y)), [3, 1, 4], measure)
    assert len(seen) == 1
    assert torch.equal(seen[0][0], x[[3, 1, 4]])
    assert torch.equal(seen[0][1], y[[3, 1, 4]])
    assert found.values == {"a": 0.3, "b": math.inf}
    assert found.below("b") == ()
    assert found.below("a") == tuple(truth.name for truth in found.truths if truth.risk > 0.3)
    assert json.dumps(found.to_json(), allow_nan=False)


def test_no_function_beats_the_floor():
    found = falsify(network(), load_data(examples()), range(50), lambda *_: 0.0)
    risks = np.array([truth.risk for truth in found.truths])
    errors = [np.mean((risks - value) ** 2) for value in np.linspace(0, 1, 1001)]
    assert min(errors) >= found.floor()
    assert min(errors) == pytest.approx(found.floor(), abs=1e-6)


def test_a_valid_bound_is_the_sample_with_its_unseen_share():
    # Only what is at least (errors of the sample + unseen) / population is above every truth.
    data = load_data(examples())
    top = falsify(network(), data, range(150), lambda *_: 0.0).interval[1]
    found = falsify(network(), data, range(150), lambda *_: {"valid": top, "tight": top - 1 / 400})
    assert found.below("valid") == ()
    assert found.below("tight") == ("always another class",)
    assert found.interval[1] - found.interval[0] == pytest.approx(50 / 200)


@pytest.mark.parametrize("sample", [[], range(200), [1, 1], [[1, 2]], [500], [0.5, 1.7]])
def test_samples_that_are_none_are_refused(sample):
    with pytest.raises(DataError):
        falsify(network(), load_data(examples()), sample, lambda *_: 0.0)


def test_copies_of_the_sample_keep_their_labels():
    x, y = examples()
    x[150], y[150] = x[3], y[3]
    found = falsify(network(), load_data((x, y)), range(100), lambda *_: 0.0)
    assert found.interval[1] - found.interval[0] == pytest.approx(99 / 200)


def test_training_mode_and_bad_weights_are_refused():
    with pytest.raises(ModelError, match="evaluation mode"):
        falsify(network().train(), load_data(examples()), range(9), lambda *_: 0.0)
    found = falsify(network(), load_data(examples()), range(9), lambda *_: 0.0)
    for weights in ([1.0], [0.0] * 4, [-1.0, 1, 1, 1]):
        with pytest.raises(ValueError, match="weights"):
            found.floor(weights)


def test_the_command_writes_a_picture_and_needs_to_know_the_sample(tmp_path, capsys):
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 4))\n"
        "def bound(model, inputs, targets):\n    return {'my bound': 0.4}\n",
        encoding="utf-8",
    )
    save_state(network().state_dict(), tmp_path / "weights.safetensors")
    x, y = examples()
    np.savez(tmp_path / "data.npz", x=x.numpy(), y=y.numpy())
    (tmp_path / "sample.json").write_text(json.dumps(list(range(60))), encoding="utf-8")
    common = ["falsify", str(tmp_path / "weights.safetensors"), "--model", f"{net}:build"]
    common += ["--data", str(tmp_path / "data.npz"), "--out", str(tmp_path / "out")]
    given = ["--sample", str(tmp_path / "sample.json")]
    assert main([*common, *given, "--measure", f"{net}:bound", "--bound"]) == 0
    printed = capsys.readouterr().out
    assert "my bound" in printed
    assert "always another class" in printed
    assert "is below the error with" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "falsification.json",
        "falsification.png",
        "falsification.svg",
    }
    assert main([*common, *given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["population"] == 200
    assert main(common) != 0
    assert "--sample" in capsys.readouterr().err
    (tmp_path / "sample.json").write_text('{"a": 1}', encoding="utf-8")
    assert main([*common, *given]) != 0
