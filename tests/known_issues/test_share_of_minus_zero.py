"""A student that gained nothing kept "-0 %" of the ensemble's gain."""

from kdasr.report import tables


def test_a_share_of_nothing_has_no_sign():
    assert tables.share(0.12, -0.0) == "0 %" and tables.share(0.12, -1e-12) == "0 %"
