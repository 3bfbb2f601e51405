"""Specialisation on domains and token ids: rows sum to k, nulls of whole samples keep their level."""

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genbounds.numerics.discrete_information import mutual_information
from genbounds.pathways.usage.pairings import against
from genbounds.pathways.usage.specialisation import DomainSpecialisation, domain_specialisation
from genbounds.pathways.usage.vocabulary import vocabulary_specialisation

spec = importlib.util.spec_from_file_location("usage_worlds", Path(__file__).parent / "usage_worlds.py")
worlds = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worlds)
random_sets, routing_of, sticky = worlds.random_sets, worlds.routing_of, worlds.sticky


def test_shares_by_hand():
    rng = np.random.default_rng(0)
    lengths, domains = np.array([3, 2, 4, 3]), ["law", "code", "law", "code"]
    selected = random_sets(rng, 12, 5, 2)
    found = domain_specialisation(routing_of([selected], lengths, 5), domains)
    layer, owner = found.layers[0], np.repeat(domains, lengths)
    assert found.domains == ("code", "law")
    assert layer.baseline == 0.4
    for domain, shares in zip(found.domains, layer.shares, strict=True):
        mine = selected[owner == domain]
        assert sum(shares) == pytest.approx(2)
        assert shares == pytest.approx([(mine == expert).any(axis=1).mean() for expert in range(5)])
    joint = np.array(layer.shares) * [[5], [7]] / 24
    assert layer.plug_in == pytest.approx(float(mutual_information(joint)), abs=1e-12)
    assert DomainSpecialisation.from_json(json.loads(json.dumps(found.to_json()))) == found
    new = rng.permutation(5)
    moved = domain_specialisation(routing_of([new[selected]], lengths, 5), domains).layers[0]
    assert moved.information == pytest.approx(layer.information, abs=1e-12)


def test_an_expert_for_each_domain():
    domains = np.arange(20) % 2
    layer = domain_specialisation(routing_of([np.repeat(domains, 3)[:, None]], [3] * 20, 2), domains).layers[0]
    assert layer.plug_in == pytest.approx(math.log(2), abs=1e-12)
    assert layer.shares == ((1.0, 0.0), (0.0, 1.0))
    assert layer.p_value == 1 / 200


def test_level_where_samples_have_experts_of_their_own():
    rng, kept, broken = np.random.default_rng(1), 0, 0
    for repetition in range(150):
        routes, domains = sticky(rng, 24, 10, 4), rng.permutation(24) % 2
        layer = domain_specialisation(routing_of([routes], [10] * 24, 4), domains, permutations=19, seed=repetition)
        kept += layer.layers[0].p_value <= 0.1
        labels = np.repeat(domains, 10)
        tables = [np.bincount(rng.permutation(labels) * 4 + routes[:, 0], minlength=8) for _ in range(19)]
        under = mutual_information(np.array(tables).reshape(19, 2, 4) / 240)
        broken += against(layer.layers[0].plug_in, under)[3] <= 0.1
    assert kept / 150 <= 0.2  # 0.1 and four standard errors
    assert broken / 150 >= 0.5  # labels permuted over tokens


def test_intervals_cover_a_planted_information():
    rng, covered, values = np.random.default_rng(2), 0, []
    joint = np.array([[0.35, 0.15], [0.15, 0.35]])
    truth = float(mutual_information(joint))
    for _ in range(150):
        domains = np.arange(80) % 2
        routes = np.repeat(np.where(rng.random(80) < 0.7, domains, 1 - domains), 4)[:, None]  # four equal tokens
        layer = domain_specialisation(routing_of([routes], [4] * 80, 2), domains, permutations=1).layers[0]
        covered += layer.interval[0] <= truth <= layer.interval[1]
        values.append(layer.information)
    assert covered / 150 >= 0.86
    assert abs(np.mean(values) - truth) <= 4 * np.std(values) / math.sqrt(150)


def test_domains_that_say_nothing_are_refused():
    routing = routing_of([np.zeros((4, 1), int)], [2, 2], 2)
    with pytest.raises(ValueError, match="domains must be two or more"):
        domain_specialisation(routing, ["a", "a"])
    with pytest.raises(ValueError, match="domains must be one label for each of 2 samples"):
        domain_specialisation(routing, ["a"])
    for missing in (None, math.nan):
        with pytest.raises(ValueError, match="domains must be labels, got None or NaN"):
            domain_specialisation(routing, ["a", missing])


def test_vocabulary_by_hand():
    rng = np.random.default_rng(3)
    ids, selected = rng.integers(0, 4, 60), random_sets(rng, 60, 5, 2)
    ids[:2] = 9
    routing = routing_of([selected], [6] * 10, 5, token_ids=ids)
    found = vocabulary_specialisation(routing, minimum=3)
    assert found.ids.tolist() == [0, 1, 2, 3]
    owner = np.repeat(np.arange(10), 6)
    for place, token in enumerate(found.ids):
        mine = selected[ids == token]
        assert found.occurrences[place] == len(mine)
        assert found.samples[place] == len(set(owner[ids == token]))
        assert found.layers[0].shares[place] == pytest.approx([(mine == e).any(axis=1).mean() for e in range(5)])
    joint = found.layers[0].shares * found.occurrences[:, None]
    assert found.layers[0].plug_in == pytest.approx(float(mutual_information(joint / joint.sum())), abs=1e-12)
    assert found.layers[0].baseline == pytest.approx(0.4)
    own = vocabulary_specialisation(replace(routing, token_ids=None), token_ids=ids, minimum=3)
    assert own.layers[0].plug_in == found.layers[0].plug_in


def test_experts_chosen_by_the_id_are_found_and_others_not():
    rng, kept = np.random.default_rng(4), 0
    ids = rng.integers(0, 6, 200)
    routing = routing_of([ids[:, None] % 3], [10] * 20, 3, token_ids=ids)
    for null in ("samples", "shifts"):
        layer = vocabulary_specialisation(routing, null=null).layers[0]
        assert layer.p_value == 1 / 200
        assert layer.excess > 0.8
    for repetition in range(120):
        words = sticky(rng, 20, 10, 5)[:, 0]
        routing = routing_of([sticky(rng, 20, 10, 3)], [10] * 20, 3, token_ids=words)
        found = vocabulary_specialisation(routing, permutations=19, seed=repetition, minimum=5)
        kept += found.layers[0].p_value <= 0.1
    assert kept / 120 <= 0.21


def test_vocabulary_refuses_what_it_cannot_count():
    routing = routing_of([np.zeros((4, 1), int)], [2, 2], 2, token_ids=[1, 2, 3, 4])
    with pytest.raises(ValueError, match="minimum must leave a token id, got 2 where the most frequent occurs 1 times"):
        vocabulary_specialisation(routing, minimum=2)
    with pytest.raises(ValueError, match="token_ids must be an id for each of 4 tokens, got None"):
        vocabulary_specialisation(replace(routing, token_ids=None))
    bare = replace(routing.layers[0], selected=None, weights=None, gates=None)
    with pytest.raises(ValueError, match="keep='routes'"):
        vocabulary_specialisation(replace(routing, layers=(bare,)), minimum=1)


def test_permutations_keep_the_sizes_of_domains():
    """Two samples of two domains: each permutation is as informative as what was seen."""
    layer = domain_specialisation(routing_of([np.array([[0], [0], [1]])], [2, 1], 2), ["a", "b"]).layers[0]
    assert layer.p_value == 1.0
    assert layer.null_mean == pytest.approx(layer.plug_in)
