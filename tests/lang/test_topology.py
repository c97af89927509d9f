"""HMM topology: Kaldi's shapes, the numbering of transitions, and the flat start's equal alignment."""

import json

import numpy as np
import pytest

from kdasr.lang.topology import equal_alignment, left_to_right, make_topology, read_topology, silence_states
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy


def test_kaldi_s_topologies():
    """The entries of egs/wsj/s5/utils/gen_topo.pl for 3 states of speech and 5 of silence."""
    assert left_to_right(3) == (((0, 0.75), (1, 0.25)), ((1, 0.75), (2, 0.25)), ((2, 0.75), (3, 0.25)))
    assert silence_states(5) == (
        ((0, 0.25), (1, 0.25), (2, 0.25), (3, 0.25)),
        ((1, 0.25), (2, 0.25), (3, 0.25), (4, 0.25)),
        ((1, 0.25), (2, 0.25), (3, 0.25), (4, 0.25)),
        ((1, 0.25), (2, 0.25), (3, 0.25), (4, 0.25)),
        ((4, 0.75), (5, 0.25)),
    )


@pytest.mark.parametrize("num_states", [2, 3, 4, 5, 8])
def test_what_leaves_a_state_sums_to_1_and_every_state_reaches_the_exit(num_states):
    for states in (left_to_right(num_states), silence_states(num_states)):
        assert np.allclose([sum(share for _, share in state) for state in states], 1)
        reached = {num_states}
        for _ in states:
            reached |= {state for state, ways in enumerate(states) if any(to in reached for to, _ in ways)}
        assert reached == set(range(num_states + 1))


def test_silence_and_noise_phones_have_silence_s_topology():
    topology = make_topology(toy.lexicon(states=3, silence_states=5, noise_words=("HM=HMM",)))
    sizes = {phone: topology.num_states(number) for number, phone in enumerate(topology.phones, start=1)}
    assert sizes == {"SIL": 5, "SPN": 5, "HMM": 5, "a": 3, "b": 3, "p": 3, "t": 3, "u": 3}
    frames = {phone: topology.minimum_frames(number) for number, phone in enumerate(topology.phones, start=1)}
    assert frames["SIL"] == 3 and frames["a"] == 3


def test_transitions_are_numbered_phone_by_phone_state_by_state():
    topology = make_topology(toy.lexicon(states=2, silence_states=2))
    tree = Tree.monophone(topology)
    table = tree.table
    assert len(table) == 4 * 7 and table.num_pdfs == 2 * 7
    assert (np.diff(table.phone) >= 0).all() and (np.diff(table.pdf) >= 0).all()
    a = [id for state in (0, 1) for id in table.of_state[3, state, 4 + state]]
    columns = zip(table.state[a], table.destination[a], table.pdf[a], table.is_self_loop[a], strict=True)
    assert [tuple(map(int, row)) for row in columns] == [(0, 0, 4, 1), (0, 1, 4, 0), (1, 1, 5, 1), (1, 2, 5, 0)]
    assert np.allclose(np.bincount(table.leaving, weights=table.probability), 1)
    assert len(set(table.leaving)) == table.num_pdfs
    assert tree.pdf_names()[4:6] == ["a.0", "a.1"]
    assert tree.silence_pdfs() == [0, 1, 2, 3]


def test_the_fingerprint_tells_topologies_apart_and_survives_the_disk(tmp_path):
    topology = make_topology(toy.lexicon())
    topology.write(tmp_path / "topology.json")
    again = read_topology(tmp_path / "topology.json")
    assert again == topology and again.fingerprint == topology.fingerprint
    others = [toy.lexicon(states=2), toy.lexicon(silence_states=3), toy.lexicon(noise_words=("HM=HMM",))]
    prints = {make_topology(lexicon).fingerprint for lexicon in others}
    assert len(prints | {topology.fingerprint}) == 4


@pytest.mark.parametrize("damage", [{"phones": ["a"]}, {"states": 3}, [], {"states": [[["x"]]]}])
def test_what_is_no_topology_is_refused(tmp_path, damage):
    (tmp_path / "topology.json").write_text(json.dumps(damage))
    with pytest.raises(Refusal, match="topology.json: not a topology .found .*delete the folder and make it again"):
        read_topology(tmp_path / "topology.json")


@pytest.mark.parametrize("num_frames", [12, 13, 25, 100])
def test_the_flat_start_shares_frames_out_equally_and_in_order(num_frames):
    topology = make_topology(toy.lexicon(states=3, silence_states=3))
    table = Tree.monophone(topology).table
    phones = [1, 3, 4, 1]
    path = equal_alignment(phones, table, topology, num_frames)
    assert path is not None and len(path) == num_frames
    seen = list(dict.fromkeys(zip(table.phone[path].tolist(), table.state[path].tolist(), strict=True)))
    # the second silence follows its states anew: 4 phones of 3 states, entered 12 times in order
    entered = [0, *(t + 1 for t in range(num_frames - 1) if not table.is_self_loop[path[t]])]
    states = [(phone, state) for phone in phones for state in range(3)]
    assert [(int(table.phone[path[t]]), int(table.state[path[t]])) for t in entered] == states
    assert set(seen) == set(states)
    lengths = np.diff([*entered, num_frames])
    assert lengths.max() - lengths.min() <= 1


def test_too_few_frames_have_no_flat_start():
    topology = make_topology(toy.lexicon(states=3, silence_states=3))
    assert equal_alignment([1, 3, 1], Tree.monophone(topology).table, topology, 8) is None
    assert equal_alignment([1, 3, 1], Tree.monophone(topology).table, topology, 9) is not None
