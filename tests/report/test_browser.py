"""A report as headless Chromium shows it, without a network: its sections, its pictures, no error, nothing fetched."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kdasr.cli import cli
from kdasr.report import page
from tests.report import runs, studies
from tests.report.test_errors import tell
from tests.report.test_states import told

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium; Debian, Ubuntu: apt-get install chromium"),
]
OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"),
    *("--disable-background-networking", "--disable-component-update", "--no-first-run"),
    *("--proxy-server=http://127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000"),
)
# What the page says of itself goes into a copy of it, which is dumped.
SCRIPT = """<script>addEventListener("load", () => {
  const seen = {
    headings: [...document.querySelectorAll("h2")].map(one => one.textContent),
    pictures: [...document.images].map(one => one.naturalWidth),
    fetched: performance.getEntriesByType("resource").map(one => one.name).filter(one => !one.startsWith("data:")),
    wide: document.documentElement.scrollWidth - innerWidth,
    links: [...document.querySelectorAll("nav a")].filter(one => document.querySelector(one.hash)).length,
  };
  const shown = document.createElement("pre");
  shown.id = "seen";
  shown.textContent = JSON.stringify(seen);
  document.body.append(shown);
});</script>"""


def opened(path: Path, width: int = 1200) -> dict[str, Any]:
    """What Chromium sees in a page, and the errors of its console."""
    copy = path.with_name("copy.html")
    copy.write_text(path.read_text(encoding="utf-8").replace("</body>", f"{SCRIPT}</body>"), encoding="utf-8")
    profile = path.with_name("profile")
    command = [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run([*command, copy.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search('<pre id="seen">(.*?)</pre>', done.stdout)
    assert found, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return {**json.loads(html.unescape(found[1])), "console": console}


def made(exp: Path, out: Path) -> Path:
    cli.main(["report", str(out), "--exp", str(exp)], standalone_mode=False)
    return out


@pytest.mark.parametrize("width", [600, 1600])
def test_all_of_a_report_is_shown_without_a_network(exp, tmp_path, width):
    runs.add_kaldi(exp)
    runs.add_study(exp)
    runs.add_specialists(exp)
    tell(told(exp), "student", {"ann": (2, 100)}, [("GO", "NO", 5)])
    seen = opened(made(exp, tmp_path / "results.html"), width)
    images = ("images", "development", "biases", "temperatures", "reliability")
    assert seen["headings"] == [title for name, (title, _) in page.SECTIONS.items() if name not in images]
    assert seen["links"] == len(seen["headings"])
    assert len(seen["pictures"]) == 3 and min(seen["pictures"]) > 300  # curves, study, states
    assert seen["fetched"] == [] and seen["console"] == [] and seen["wide"] <= 0


def test_a_study_on_images_is_shown_with_its_temperatures(tmp_path):
    exp = studies.write_study(tmp_path / "exp")
    studies.write_sweep(exp, 30, {1: [300, 310], 2.5: [200, 260]})
    seen = opened(made(exp, tmp_path / "results.html"))
    assert {"Test errors on images", "Students by temperature"} <= set(seen["headings"])
    assert len(seen["pictures"]) == 3 and min(seen["pictures"]) > 300  # training, biases, temperatures
    assert seen["fetched"] == [] and seen["console"] == [] and seen["wide"] <= 0


def test_what_is_fetched_or_goes_wrong_would_be_seen(tmp_path):
    bad = '<!DOCTYPE html><body><img src="http://example.org/x.png"><script>nothing.there()</script>'
    (tmp_path / "bad.html").write_text(f"{bad}<div style='width: 3000px'>x</div></body>")
    seen = opened(tmp_path / "bad.html")
    assert seen["pictures"] == [0] and seen["fetched"] == ["http://example.org/x.png"] and seen["wide"] > 1000
    assert any("nothing is not defined" in line for line in seen["console"])
