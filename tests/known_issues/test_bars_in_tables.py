"""A name with a bar, such as a phone `|`, moved the cells of its row, and the last one was lost."""

import pytest

from kdasr.report.tables import table


def test_a_bar_in_a_name_is_no_border():
    assert table(("state", "frames"), [["|.0", "7"]]).splitlines()[-1] == r"| \|.0 | 7 |"


def test_a_page_shows_it_in_its_cell():
    pytest.importorskip("markdown")
    from kdasr.report.html import as_html

    assert '<td>a|b</td>\n<td class="number">7</td>' in as_html(table(("state", "frames"), [["a|b", "7"]]), {})
