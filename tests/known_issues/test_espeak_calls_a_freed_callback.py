"""ctypes keeps no reference to a callback: eSpeak NG was given one that nobody held, and the process crashed."""

import gc
import weakref
from contextlib import contextmanager

import pytest

from kdasr.corpora import espeak


class Spy:
    """The library, looking at each synthesis whether its callback is still alive."""

    def __init__(self, library):
        self._library, self.alive = library, []

    def __getattr__(self, name):
        return getattr(self._library, name)

    def espeak_SetSynthCallback(self, callback):
        self._callback = weakref.ref(callback)
        self._library.espeak_SetSynthCallback(callback)

    def espeak_Synth(self, *arguments):
        gc.collect()
        self.alive.append(self._callback() is not None)
        return self._library.espeak_Synth(*arguments) if self.alive[-1] else 0


def test_the_callback_lives_as_long_as_the_library_speaks(monkeypatch):
    pytest.importorskip("espeakng_loader")
    loaded, spies = espeak._loaded, []

    @contextmanager
    def spied(library):
        with loaded(library) as found:
            spies.append(Spy(found))
            yield spies[-1]

    monkeypatch.setattr(espeak, "_loaded", spied)
    samples, rate = espeak.speak("one two", espeak.Manner("en-us", "m1"))
    assert [spy.alive for spy in spies] == [[True]]
    assert len(samples) > rate / 2
