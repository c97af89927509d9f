"""Guessed pronunciations: the net against its equations in numpy; the real weights where they are installed."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest

from kdasr.lang.g2p import LETTERS, PHONES, Guesser, weights
from kdasr.refusal import Refusal

SIZES = {"enc_emb": (29, 6), "dec_emb": (74, 6), "fc_w": (74, 8), "fc_b": (74,)} | {
    f"{side}_{name}": shape
    for side in ("enc", "dec")
    for name, shape in {"w_ih": (24, 6), "w_hh": (24, 8), "b_ih": (24,), "b_hh": (24,)}.items()
}


@pytest.fixture
def net(tmp_path):
    """Random weights and their file."""
    rng = np.random.default_rng(3)
    arrays = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in SIZES.items()}
    np.savez(tmp_path / "net.npz", **arrays)
    return arrays, tmp_path / "net.npz"


def step(arrays, side, x, h):
    """h' = (1 - z) n + z h, with gates r, z and candidate n = tanh(W x + b + r (U h + c))."""
    a, b = (arrays[f"{side}_w_{k}h"] @ v + arrays[f"{side}_b_{k}h"] for k, v in (("i", x), ("h", h)))
    r, z = (1 / (1 + np.exp(-(a[part] + b[part]))) for part in (slice(8), slice(8, 16)))
    return (1 - z) * np.tanh(a[16:] + r * b[16:]) + z * h


def guess(arrays, word):
    h = np.zeros(8)
    for letter in [*word.lower(), "</s>"]:
        h = step(arrays, "enc", arrays["enc_emb"][LETTERS.index(letter) if letter in LETTERS else 1], h)
    phones, last = list[int](), 2
    while len(phones) < 20:
        h = step(arrays, "dec", arrays["dec_emb"][last], h)
        last = int(np.argmax(arrays["fc_w"] @ h + arrays["fc_b"]))
        if last == 3:
            break
        phones.append(last)
    return tuple(PHONES[phone] for phone in phones if PHONES[phone])


def test_the_net_is_its_equations(net):
    arrays, path = net
    arrays["fc_b"][3] += 2  # so that words end
    np.savez(path, **arrays)
    words = ("A", "ZEBRA", "O'BRIEN", "X-RAY", "CAFÉ", "SUPERCALIFRAGILISTIC")
    guessed = [Guesser(path)(word) for word in words]
    assert guessed == [guess(arrays, word) for word in words]
    assert len(set(guessed)) > 2 and len({len(phones) for phones in guessed}) > 1


def test_a_word_without_a_letter_has_no_pronunciation(net):
    assert Guesser(net[1])("1830") == () == Guesser(net[1])("'")


def test_the_outputs_are_the_phones_of_cmudict():
    assert len(PHONES) == 74 and len(set(PHONES) - {""}) == 39 and PHONES[4] == "AA" and PHONES[-1] == "ZH"


@pytest.mark.parametrize("damage", ["text", "cut", "foreign", "pickled"])
def test_a_file_that_is_no_such_net_is_refused(net, tmp_path, damage):
    arrays, path = net
    if damage == "text":
        path.write_text("no weights")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    elif damage == "foreign":
        np.savez(path, **{name: array for name, array in arrays.items() if name != "dec_w_hh"})
    else:
        np.savez(path, **arrays | {"enc_emb": np.array([{"an": "object"}])})
    with pytest.raises(Refusal, match="net.npz: not the weights of g2p-en .found .*; install the package again"):
        Guesser(path)
    with pytest.raises(Refusal, match="not the weights of g2p-en"):
        Guesser(tmp_path / "none.npz")


def test_the_real_weights_speak_english():
    try:
        metadata.distribution("g2p-en")
    except metadata.PackageNotFoundError:
        pytest.skip("g2p-en is not installed")
    guesser = Guesser(weights())
    assert guesser("REPROACHED") == ("R", "IY", "P", "R", "OW", "CH", "T")
    assert guesser("KARA'S") == ("K", "EH", "R", "AH", "Z")
    assert guesser("IMPRISONMENTS") == ("IH", "M", "P", "R", "IH", "Z", "AH", "N", "M", "AH", "N", "T", "S")
