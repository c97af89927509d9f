"""Pronunciations of English words that no dictionary has, by the net of the package g2p-en 2.1.0 (K. Park, J. Kim).

Its weights alone are read: a GRU takes up the letters, another gives out the phones of CMUdict one by one. The
package's code wants nltk with data of its own, and is not run.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from kdasr.lang.installed import data_file
from kdasr.lang.lexicon import Pronunciation
from kdasr.refusal import Refusal

LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N"),
    *("NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)
# The net's outputs: padding, unknown, start, end, then CMUdict's phones with their stress, which is left out here: a
# vowel stands there in three stresses, UW also without.
PHONES = ("", "", "", "", *sorted([*VOWELS * 3, *("UW",) * 4, *CONSONANTS]))
START, END = 2, 3  # among the phones
LONGEST = 20  # phones of a word


def weights() -> Path:
    """The file of the weights. Raises Refusal if the package is not installed."""
    do = "pip install --no-deps g2p-en==2.1.0, or leave such words without pronunciation: --set lexicon.guess=false"
    return data_file("g2p-en", "2.1.0", "g2p_en/checkpoint20.npz", do)


class Guesser:
    """Guesses pronunciations from spelling.

    Args:
        path: an `.npz` file with the weights of encoder and decoder, as `g2p-en` has it.

    Raises:
        Refusal: it is absent or no such file.
    """

    def __init__(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as file:
                tensors = {name: torch.from_numpy(file[name]) for name in file.files}
            self.letters, self.phones = tensors["enc_emb"], tensors["dec_emb"]
            self.encoder, self.decoder = _cell(tensors, "enc"), _cell(tensors, "dec")
            self.weight, self.bias = tensors["fc_w"], tensors["fc_b"]
        except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
            found = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            do = "install the package again"
            raise Refusal("not the weights of g2p-en", where=path, found=found, do=do) from None

    @torch.no_grad()
    def __call__(self, word: str) -> Pronunciation:
        """The likeliest phone after each phone, until the end; empty for a word without a letter."""
        letters = [LETTERS.index(letter) if letter in LETTERS else 1 for letter in word.lower()]
        if max(letters) < LETTERS.index("a"):
            return ()
        state = torch.zeros(1, self.encoder.hidden_size)
        for letter in [*letters, LETTERS.index("</s>")]:
            state = self.encoder(self.letters[None, letter], state)
        phones: list[str] = []
        phone = START
        for _ in range(LONGEST):
            state = self.decoder(self.phones[None, phone], state)
            phone = int((state @ self.weight.T + self.bias).argmax())
            if phone == END:
                break
            phones.append(PHONES[phone])
        return tuple(filter(None, phones))


def _cell(tensors: dict[str, torch.Tensor], name: str) -> torch.nn.GRUCell:
    weight = tensors[f"{name}_w_ih"]
    # Gates in the order reset, update, new, as the weights have them.
    cell = torch.nn.GRUCell(weight.shape[1], weight.shape[0] // 3)
    names = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    cell.load_state_dict({own: tensors[f"{name}_{theirs}"] for own, theirs in names.items()})
    return cell
