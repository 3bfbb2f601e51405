"""A monitor asks when it is time to, changes nothing in a training, and fits other people's trainers."""

import random
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from genbounds.models.training.monitor import Monitor

LOSS = nn.functional.cross_entropy


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 6, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()


def network():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 3))


class Norm:
    def __init__(self, value):
        self.value = value

    def flat(self):
        return {"norm": self.value}


class NormMonitor(Monitor[Norm]):
    """Measures the first weights, and draws from every global generator as it does."""

    subject = "norms"

    def __init__(self, model, every=1):
        super().__init__(model, every)
        self.moments = []

    def _measure(self, name, epoch, step):
        assert not any(module.training for module in self.model.modules())
        noise = torch.rand(()).item() + np.random.random() + random.random()  # noqa: NPY002
        assert noise >= 0
        self.moments.append((name, epoch, step))
        return Norm(float(next(self.model.parameters()).detach().norm()))


def bits(state):
    return {name: value.tolist() for name, value in state.items()}


def test_it_measures_when_it_is_time_to():
    monitor = NormMonitor(network(), every=3)
    assert [step for step in range(8) if monitor.step(step, epoch=1) is not None] == [0, 3, 6]
    assert monitor.moments == [(f"step {step}", 1, step) for step in (0, 3, 6)]
    assert [epoch for epoch in range(4) if monitor.epoch(epoch, step=10 * epoch) is not None] == [0, 3]
    assert monitor.moments[3:] == [("epoch 0", 0, 0), ("epoch 3", 3, 30)]
    for wrong in (-1, 0.5):
        with pytest.raises(ValueError, match="step or epoch must be a whole number of at least 0"):
            monitor.step(wrong)
    with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
        NormMonitor(network(), every=0)


def test_generators_and_modes_are_put_back_even_after_an_error():
    class Failing(NormMonitor):
        def _measure(self, name, epoch, step):
            super()._measure(name, epoch, step)
            raise RuntimeError("no")

    model = network().train()
    model[1].eval()
    before = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    with pytest.raises(RuntimeError, match="no"):
        Failing(model).step(0)
    assert (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    assert [module.training for module in model] == [True, False, True, True, True]


# Trainers of other people, by what they promise: attributes and hooks.


class Logger:
    def __init__(self):
        self.logged = []

    def log_metrics(self, metrics, step):
        self.logged.append((step, metrics))


def stub(monkeypatch, package, name):
    """Stand in for a package that need not be installed."""
    monkeypatch.setitem(sys.modules, package.partition(".")[0], types.ModuleType(package))
    module = types.ModuleType(package)
    setattr(module, name, type(name, (), {}))
    monkeypatch.setitem(sys.modules, package, module)


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
@pytest.mark.parametrize(("by", "expected"), [("epoch", [0, 2]), ("step", [0, 2, 4])])
def test_lightning_by_its_hooks(monkeypatch, package, by, expected):
    if package == "pytorch_lightning":
        monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    stub(monkeypatch, package, "Callback")
    monitor, logger = NormMonitor(network(), every=2), Logger()
    callback, trainer = monitor.lightning(by), types.SimpleNamespace(current_epoch=0, global_step=0, loggers=[logger])
    callback.on_train_start(trainer, None)
    for epoch in range(2):
        trainer.current_epoch = epoch
        for _ in range(2):
            trainer.global_step += 1
            callback.on_train_batch_end(trainer, None, None, None, 0)
        callback.on_train_epoch_end(trainer, None)
    assert [name for name, _, _ in monitor.moments] == [f"{by} {number}" for number in expected]
    norm = float(monitor.model[0].weight.detach().norm())
    assert logger.logged == [(step, {"norms/norm": norm}) for _, _, step in monitor.moments]


@pytest.mark.parametrize(("by", "expected"), [("epoch", [0, 2]), ("step", [0, 2, 4])])
def test_hugging_face_by_its_hooks(monkeypatch, by, expected):
    stub(monkeypatch, "transformers", "TrainerCallback")
    monitor = NormMonitor(network(), every=2)
    callback = monitor.hugging_face(by)
    state = huggingly_train(callback, types.SimpleNamespace(should_log=False))
    assert [name for name, _, _ in monitor.moments] == [f"{by} {number}" for number in expected]
    norm = float(monitor.model[0].weight.detach().norm())
    assert [line["step"] for line in state.log_history] == [step for _, _, step in monitor.moments]
    assert all(line["norms/norm"] == norm and line["epoch"] <= line["step"] / 2 for line in state.log_history)


def huggingly_train(callback, control):
    """Call the hooks as a trainer does, two epochs of two steps."""
    state = types.SimpleNamespace(epoch=0.0, global_step=0, log_history=[])
    callback.on_train_begin(None, state, control)
    for epoch in range(2):
        for _ in range(2):
            state.global_step += 1
            callback.on_step_end(None, state, control)
        state.epoch = epoch + 1.0
        callback.on_epoch_end(None, state, control)
    return state


@pytest.mark.parametrize("due", [True, False])
def test_hugging_face_by_the_trainers_own_log(monkeypatch, due):
    """A trainer that logs takes its logging for done: what was due of its own must stay due."""
    stub(monkeypatch, "transformers", "TrainerCallback")
    monitor, logged = NormMonitor(network(), every=2), []
    control = types.SimpleNamespace(should_log=due)

    class Trainer:
        def log(self, logs):
            logged.append(dict(logs))
            logs["epoch"] = 1.0
            control.should_log = False

    state = huggingly_train(monitor.hugging_face("epoch", trainer=Trainer()), control)
    norm = float(monitor.model[0].weight.detach().norm())
    assert logged == [{"norms/norm": norm}] * 2
    assert state.log_history == []
    assert control.should_log is due


def test_a_plain_loop_gets_flat_numbers():
    monitor = NormMonitor(network())
    assert monitor.scalars(Norm(2.0)) == {"norms/norm": 2.0}


def test_what_is_missing_is_named(monkeypatch):
    for package in ("lightning", "lightning.pytorch", "pytorch_lightning", "transformers"):
        monkeypatch.setitem(sys.modules, package, None)
    monitor = NormMonitor(network())
    with pytest.raises(ImportError, match="pip install lightning"):
        monitor.lightning()
    with pytest.raises(ImportError, match="pip install transformers"):
        monitor.hugging_face()


# The same with the real libraries, where they are installed.


def test_lightning_itself(data, tmp_path):
    lightning = pytest.importorskip("lightning.pytorch", reason="needs lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = network()

        def training_step(self, batch, _):
            return LOSS(self.network(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    kept = []

    class Kept(lightning.loggers.logger.DummyLogger):
        def log_metrics(self, metrics, step=None):
            kept.append((step, dict(metrics)))

    def fit(callbacks_of):
        lightning.seed_everything(0, verbose=False)
        module = Module()
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data), batch_size=10, shuffle=True)
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            callbacks=callbacks_of(module),
            logger=Kept(),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(module, loader)
        return module

    monitors = []

    def watched(module):
        monitors.append(NormMonitor(module.network))
        return [monitors[0].lightning()]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, other = fit(lambda module: []), fit(watched)
    assert bits(dict(one.state_dict())) == bits(dict(other.state_dict()))
    assert monitors[0].moments == [(f"epoch {epoch}", epoch, 4 * epoch) for epoch in range(4)]
    assert [step for step, metrics in kept if "norms/norm" in metrics] == [0, 4, 8, 12]


@pytest.mark.parametrize(("by", "expected"), [("epoch", [0, 4, 8, 12]), ("step", [*range(13)])])
def test_hugging_face_itself(data, tmp_path, by, expected):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, x, labels=None):
            logits = self.network(x)
            return {"logits": logits} if labels is None else {"loss": LOSS(logits, labels), "logits": logits}

    def fit(watch):
        torch.manual_seed(0)
        model = Model()
        monitor = NormMonitor(model)
        trainer = transformers.Trainer(
            model=model,
            args=transformers.TrainingArguments(
                output_dir=str(tmp_path),
                num_train_epochs=3,
                per_device_train_batch_size=10,
                report_to=[],
                save_strategy="no",
                logging_strategy="steps",
                logging_steps=3,
                disable_tqdm=True,
                use_cpu=True,
            ),
            train_dataset=[{"x": x, "labels": y} for x, y in zip(*data, strict=True)],
            callbacks=[seen()],
        )
        if watch:
            trainer.add_callback(monitor.hugging_face(by, trainer=trainer))
        trainer.train()
        return model, monitor, trainer.state.log_history

    reported = []

    def seen():
        class Seen(transformers.TrainerCallback):
            def on_log(self, args, state, control, logs=None, **_):
                reported.append(dict(logs))

        return Seen()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, _, plain = fit(False)
        reported.clear()
        other, monitor, history = fit(True)
    assert bits(dict(one.state_dict())) == bits(dict(other.state_dict()))
    assert [step for _, _, step in monitor.moments] == expected
    assert [line["step"] for line in history if "norms/norm" in line] == expected
    assert sum("norms/norm" in line for line in reported) == len(expected)
    losses = [[(line["step"], line["loss"]) for line in lines if "loss" in line] for lines in (plain, history)]
    assert losses[0] == losses[1]
    assert [step for step, _ in losses[0]] == [3, 6, 9, 12]
