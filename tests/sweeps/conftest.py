"""Functions that tasks name, in a module that every worker can import."""

import pytest

WORK = """
import os
import time

import numpy as np


def draw(size, scale, seed, wait=0.0):
    time.sleep(wait)
    return {"values": scale * np.random.default_rng(seed).standard_normal(size), "size": size}


def total(x, seed):
    return {"total": float(x.sum())}


def change(x, items, seed):
    x += 1
    items.append(0)
    return {"total": float(x.sum()), "items": len(items), "order": x.flags.c_contiguous, "native": x.dtype.isnative}


def leave(seed):
    raise SystemExit(7)


def fail(number, seed):
    if number == 2:
        raise OSError("no such luck")
    return {"number": number}


def wrong(kind, seed):
    return {"list": [1], "object": {"x": np.array([object()])}, "nan": {"x": float("nan")}}[kind]


class Odd(Exception):
    def __init__(self, first, second):
        super().__init__(first)


def odd(seed):
    raise Odd("what no process", "can send")


def die(seed):
    os._exit(9)


def interrupt(number, seed):
    if number == 2:
        raise KeyboardInterrupt
    return {"number": number}


constant = 3
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The functions' module, importable here and in processes that start while the test runs."""
    (tmp_path / "sweep_work.py").write_text(WORK, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path
