"""``genbounds pathways``: on checkpoints, folders and snapshots of a second, and on its own sums."""

import inspect
import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genbounds.cli.app import OK, USAGE_ERROR
from genbounds.cli.pathways import pathways
from genbounds.models import save_state
from genbounds.pathways import capture_routing, read_routing
from genbounds.pathways.grokking.mixture import Mixture
from genbounds.pathways.metrics import pathway_metrics
from genbounds.pathways.training.series_records import PathwaySeries
from genbounds.workflow import pathways_demo

FACTORY = "from genbounds.pathways.grokking.mixture import Mixture\ndef build():\n    return Mixture(7, width=8)\n"
DRAWS = ("--shuffles", "9", "--permutations", "19")
WRITTEN = {"pathways.json", "pathways.png", "pathways.svg", "report.html", "snapshots"}


@pytest.fixture
def folder(tmp_path):
    """Sums mod 7 as .npz, a factory, and three checkpoints."""
    pairs = np.array([(a, b) for a in range(7) for b in range(7)])
    np.savez(tmp_path / "data.npz", x=pairs, y=pairs.sum(1) % 7)
    (tmp_path / "nets.py").write_text(FACTORY, encoding="utf-8")
    for seed, step in enumerate((0, 20, 100)):
        save_state(Mixture(7, width=8, seed=seed).state_dict(), tmp_path / "weights" / f"step={step}.safetensors")
    return tmp_path


def command(folder, *options, checkpoints="weights"):
    return [
        *("pathways", "--model", f"{folder / 'nets.py'}:build", "--checkpoints", folder / checkpoints),
        *("--data", folder / "data.npz", "--out", folder / "out", *DRAWS, *options),
    ]


def test_a_series(run, folder):
    code, out, err = run(*command(folder, "--json"))
    assert (code, err) == (OK, "")
    assert {path.name for path in (folder / "out").iterdir()} == WRITTEN
    told = json.loads(out)
    assert told == json.loads((folder / "out" / "pathways.json").read_text(encoding="utf-8"))
    series = PathwaySeries.from_json(told)
    assert series.axis == ("step", (0, 20, 100))
    archive = np.load(folder / "data.npz")
    inputs, sums = torch.from_numpy(archive["x"]), torch.from_numpy(archive["y"])
    by_hand, captured = [], []
    for seed in range(3):
        model = Mixture(7, width=8, seed=seed).eval()
        captured.append(capture_routing(model, inputs, keep="routes"))
        by_hand.append(F.cross_entropy(model(inputs), sums).item())
    for point, routing, loss in zip(series.points, captured, by_hand, strict=True):
        own = pathway_metrics(routing, groups=sums.numpy(), last=captured[-1], shuffles=9, permutations=19)
        flat = own.flat()
        assert point.record.flat().items() >= flat.items()
        assert point.record.flat()["loss"] == pytest.approx(loss, rel=1e-6)
    assert told["correlations"].keys() == series.correlations().keys()
    assert told["correlations"]["distance/mean"]["points"] == 3


def test_run_again_it_captures_nothing_again(run, folder):
    _, first, _ = run(*command(folder, "--json"))
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "out" / "snapshots").glob("*.npz")}
    assert len(before) == 3
    code, out, _ = run(*command(folder))
    assert code == OK
    for words in ("R2", "within", "consistency", "Correlations with accuracy along 3 checkpoints", "no p-value"):
        assert words in out
    assert "Written to" in out
    assert (folder / "out" / "pathways.json").read_text(encoding="utf-8") == first
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "out" / "snapshots").glob("*.npz")} == before


def test_snapshots_need_no_model_and_no_torch(run, folder):
    _, first, _ = run(*command(folder, "--json"))
    code = "import sys; sys.modules['torch'] = None\nfrom genbounds.cli import main; sys.exit(main(sys.argv[1:]))"
    tokens = ["pathways", "--snapshots", folder / "out" / "snapshots", "--out", folder / "again", *DRAWS, "--json"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, tokens)], capture_output=True, text=True, check=False)
    assert done.returncode == OK, done.stderr
    assert json.loads(done.stdout) == json.loads(first)
    assert {path.name for path in (folder / "again").iterdir()} == WRITTEN - {"snapshots"}


def test_snapshots_of_your_own_without_groups(run, folder):
    routing = capture_routing(Mixture(7, width=8).eval(), torch.tensor([[0, 1], [2, 3], [4, 5], [6, 0]]))
    for name in ("b10", "b9"):
        routing.of_samples([0, 1, 2, 3]).save(folder / "own" / f"{name}.npz")
    code, out, _ = run("pathways", "--snapshots", folder / "own", "--out", folder / "out", "--json", *DRAWS)
    assert code == OK
    points = json.loads(out)["points"]
    assert [point["name"] for point in points] == ["b9", "b10"]
    assert points[0]["record"]["distance"]["groups"] is None


def test_groups_beside_snapshots_that_cannot_be_read(run, folder):
    routing = capture_routing(Mixture(7, width=8).eval(), torch.tensor([[0, 1], [2, 3], [4, 5], [6, 0]]))
    routing.save(folder / "own" / "a.npz")
    (folder / "own" / "groups.json").write_text("[1, 1, 2")
    code, _, err = run("pathways", "--snapshots", folder / "own", "--out", folder / "out", *DRAWS)
    assert code == USAGE_ERROR
    assert "groups.json beside the snapshots must be a JSON list of labels" in " ".join(err.split())


def test_numbers_are_checked_before_the_demonstration_trains(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("pathways", "--shuffles", "-1")
    assert code == USAGE_ERROR
    assert "shuffles must be" in err
    assert not list(tmp_path.iterdir())


def test_one_checkpoint_is_a_table_of_layers(run, folder):
    code, out, _ = run(*command(folder, checkpoints="weights/step=20.safetensors"))
    assert code == OK
    for layer in range(3):
        assert f"blocks.{layer}.router" in out
    assert {path.name for path in (folder / "out").iterdir()} == {"pathways.json", "report.html", "snapshots"}


def test_options_reach_the_measurement(run, folder):
    options = ("--rule", "top", "--k", "2", "--metric", "jaccard", "--level", "0.9", "--pairs", "200", "--seed", "3")
    code, out, _ = run(*command(folder, *options, "--groups", "none", "--routers", "blocks.[02].router", "--json"))
    assert code == OK
    record = json.loads(out)["points"][0]["record"]
    distance = record["distance"]
    assert record["routers"] == ["blocks.0.router", "blocks.2.router"]
    assert (distance["metric"], distance["level"], distance["pairs"], distance["seed"]) == ("jaccard", 0.9, 200, 3)
    assert distance["groups"] is None
    assert "2" in distance["rule"]


LINEAR_GATES = """
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(2, 3, bias=False), nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

    def forward(self, x):
        weights, chosen = self.gate(x).softmax(1).topk(2)
        outputs = sum((weights * (chosen == k)).sum(1, keepdim=True) * each(x) for k, each in enumerate(self.experts))
        return x + outputs


def build():
    return nn.Sequential(Block(), Block(), nn.Linear(2, 2))
"""


def test_linear_gates_in_two_layers(run, tmp_path):
    """How many experts are executed has to be said; with two layers there is no erraticness, and all else."""
    (tmp_path / "gates.py").write_text(LINEAR_GATES, encoding="utf-8")
    build = runpy.run_path(str(tmp_path / "gates.py"))["build"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for step in (1, 2):
            save_state(build().state_dict(), tmp_path / "weights" / f"step={step}.safetensors")
        np.savez(tmp_path / "data.npz", x=torch.randn(9, 2).numpy(), y=np.arange(9) % 2)
    tokens = ["pathways", "--model", f"{tmp_path / 'gates.py'}:build", "--checkpoints", tmp_path / "weights"]
    tokens += ["--data", tmp_path / "data.npz", "--out", tmp_path / "out", "--json", *DRAWS]
    code, _, err = run(*tokens)
    assert (code, "--top-k" in err or "top_k" in err) == (USAGE_ERROR, True)
    code, out, _ = run(*tokens, "--top-k", "2")
    assert code == OK
    for record in (point["record"] for point in json.loads(out)["points"]):
        assert record["raw"] is None
        assert any(
            "No erraticness: it needs at least three layers, and there are 2" in note for note in record["notes"]
        )
        assert [layer["executed"] for layer in record["load"]["layers"]] == [2, 2]
        assert record["distance"]["mean"] > 0


def test_without_arguments_it_trains(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"seed": 0, "steps": 2, "every": 1, "progress": False}
    monkeypatch.setattr(pathways_demo.train_addition, "__kwdefaults__", settings)
    code, out, err = run("pathways", *DRAWS)
    assert code == OK
    assert err == "Training a small mixture of experts on sums mod 59: a minute and a half.\n"
    assert "Correlations with accuracy along 3 checkpoints" in out
    assert {path.name for path in (tmp_path / "pathways").iterdir()} == {*WRITTEN, "checkpoints"}
    (first, *_) = sorted((tmp_path / "pathways" / "snapshots").glob("*.npz"))
    assert {layer.experts for layer in read_routing(first).layers} == {4}


def test_models_in_folders(run, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", "[END]", "the", "cat", "sat", "one", "two", "three"]
    sizes = {"hidden_size": 16, "intermediate_size": 8, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = transformers.OlmoeConfig(
        vocab_size=len(words), num_hidden_layers=3, num_experts=4, num_experts_per_tok=2, pad_token_id=0, **sizes
    )
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]")
    for step in (500, 1000, 1500):
        with torch.random.fork_rng():
            torch.manual_seed(step)
            transformers.OlmoeForCausalLM(config).save_pretrained(tmp_path / "run" / f"checkpoint-{step}")
        tokenizer.save_pretrained(tmp_path / "run" / f"checkpoint-{step}")
    (tmp_path / "texts.csv").write_text(
        "text,domain\nthe cat sat,pets\nthe cat,pets\nsat the cat sat,pets\none two,sums\none two three,sums\n",
        encoding="utf-8",
    )
    tokens = ["pathways", "--models", tmp_path / "run", "--texts", tmp_path / "texts.csv", "--out", tmp_path / "out"]
    code, out, _ = run(*tokens, "--groups", "domain", "--json", *DRAWS)
    assert code == OK
    told = json.loads(out)
    assert [point["step"] for point in told["points"]] == [500, 1000, 1500]
    record = told["points"][0]["record"]
    assert (record["samples"], record["tokens"], record["distance"]["groups"]["groups"]) == (5, 14, 2)
    assert {value["name"] for value in record["values"]} == {"loss", "correct"}
    assert record["routers"] == [f"model.layers.{layer}.mlp.gate" for layer in range(3)]
    code, _, err = run(*tokens, "--groups", "topic")
    assert (
        code,
        "groups must be a column of texts.csv, got 'topic' where there is domain" in " ".join(err.split()),
    ) == (
        USAGE_ERROR,
        True,
    )
    code, _, err = run(*tokens[:1], "--models", "someone/unknown-model@step1", *tokens[3:])
    assert code == USAGE_ERROR
    assert "hf download someone/unknown-model --revision step1" in " ".join(err.split())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--level", "1"), "level must be"),
        (("--tau", "1.5"), "tau must be"),
        (("--k", "0", "--rule", "top"), "k must be"),
        (("--routers", "blocks.9.router"), "model must have modules called blocks.9.router"),
        (("--groups", "domain"), "groups must be targets or none"),
        (("--device", "nowhere"), "device must be one that torch can use"),
        (("--models", "some", "--texts", "some.txt"), "model and models must not come together"),
        (("--snapshots", "some"), "model and snapshots must not come together"),
        (("--texts", "some.txt"), "models, texts must come together, got texts alone"),
    ],
)
def test_one_sentence_for_what_cannot_be(run, folder, options, complaint):
    code, _, err = run(*command(folder, *options))
    assert code == USAGE_ERROR
    assert complaint in " ".join(err.split())


def test_snapshots_that_are_none(run, folder):
    for source, complaint in (
        ("weights", "got "),
        ("data.npz", "must be a routing that save wrote"),
        ("no", "No such"),
    ):
        code, _, err = run("pathways", "--snapshots", folder / source, "--out", folder / "out")
        assert code == USAGE_ERROR
        assert complaint in " ".join(err.split())
    one, two = (capture_routing(Mixture(7, width=8).eval(), torch.zeros(n, 2, dtype=torch.long)) for n in (3, 4))
    one.save(folder / "mixed" / "a.npz")
    two.save(folder / "mixed" / "b.npz")
    code, _, err = run("pathways", "--snapshots", folder / "mixed", "--out", folder / "out")
    assert code == USAGE_ERROR
    assert "of one network on the same samples" in " ".join(err.split())


def test_two_captures_in_one_folder_do_not_share_a_table(run, folder):
    for name in ("first", "second"):
        capture_routing(Mixture(7, width=8).eval(), torch.zeros(3, 2, dtype=torch.long), name="one", step=5).save(
            folder / "own" / f"{name}.npz"
        )
    code, _, err = run("pathways", "--snapshots", folder / "own", "--out", folder / "again")
    assert code == USAGE_ERROR
    assert "must be of one capture, got several of the same moment in own" in " ".join(err.split())


def test_every_option_is_explained():
    documented = inspect.getdoc(pathways)
    for name in inspect.signature(pathways).parameters:
        assert f"\n{name} : " in documented, name
