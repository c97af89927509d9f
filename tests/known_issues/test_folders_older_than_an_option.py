"""A new option made every folder of an older version one that was made with another option, to be made again."""

import pytest

from kdasr import io
from kdasr.refusal import Refusal


def made(**options: object) -> io.Made:
    return io.Made("verb", options, {"features": "abc"})


@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_older_than_an_option_is_up_to_date_while_the_option_is_off(tmp_path, finished):
    out = tmp_path / "out"
    io.begin(out, made(a=1, b={"c": 2.0}))
    io.write_text(out / "shard", "done")
    if finished:
        io.finish(out)
    newer = {"new": 0, "way": "auto", "b": {"c": 2.0, "jitter": 0.0, "names": [], "other": None}, "a": 1}
    assert io.begin(out, made(**newer)) is not finished
    with pytest.raises(Refusal, match=r"out: made with another options.b.jitter .expected 0.5"):
        io.begin(out, made(**{**newer, "b": {"c": 2.0, "jitter": 0.5}}))
    with pytest.raises(Refusal, match=r"out: made with another options.b.c .expected 0, found 2.0."):
        io.begin(out, made(a=1, b={"c": 0}))
    with pytest.raises(Refusal, match=r"out: made with another options.b.c .found 2.0."):
        io.begin(out, made(a=1, b={}))  # an option that is no more
