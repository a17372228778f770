"""The site is built strictly, its links lead somewhere, and README.md reads well outside it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from pages import ROOT
from test_report import browser  # noqa: F401

pytestmark = pytest.mark.no_model

NEEDED = ("material", "mkdocstrings_handlers")
PACKAGES = ("tensorflow_datasets",)  # what the public modules need to be imported


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        pytest.skip("needs the extra 'docs'")
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return folder


class _Page(HTMLParser):
    """What a page links to and loads, and what can be linked to in it."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given.get("id"), given.get("name")}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") != "canonical":
            self.loads.append(given.get("href"))
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.loads.append(given["src"])


@pytest.mark.long
def test_links_lead_somewhere_and_nothing_comes_from_outside(site):
    found = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    dead = []
    for path, page in found.items():
        if path.name == "404.html":  # its links are absolute
            continue
        for link in page.links + page.loads:
            goal, anchor = urldefrag(unquote(link))
            if re.match(r"\w+:|//", goal):
                if link in page.loads and not link.startswith("data:"):
                    dead.append(f"{path.name} loads {link}")
                continue
            file = (path.parent / goal).resolve() if goal else path
            file = file / "index.html" if file.is_dir() else file
            if not file.exists() or (
                file in found and anchor and anchor not in found[file].anchors
            ):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert len(found) > 40
    assert not dead
    style = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.findall(r"url\(['\"]?https?:", style)


@pytest.mark.long
def test_the_reference_has_every_public_name(site):
    for name in PACKAGES:
        pytest.importorskip(name)
    from test_api import MODULES

    listed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    known = {line.split(" ")[0] for line in zlib.decompress(listed).decode().splitlines()}
    pages = {f"keras_saliency.{path.stem}" for path in (ROOT / "docs" / "api").glob("*.md")}
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            full = f"{module}.{name}"
            assert full in known | pages, full


@pytest.mark.long
def test_pages_open_from_the_disk_fit_a_phone_and_are_searched(site, browser):  # noqa: F811
    from selenium.webdriver.common.by import By

    browser.get_log("performance")
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    for name in ("index", "kinds", "benchmarks", "libraries", "api/methods", "howto/index"):
        browser.get((site / f"{name}.html").as_uri())
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= 390, f"{name} is {wide} pixels wide"
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get((site / "index.html").as_uri())
    field = browser.find_element(By.CSS_SELECTOR, "input.md-search__input")
    field.click()
    field.send_keys("GradCam")
    for _ in range(100):
        items = browser.find_elements(By.CSS_SELECTOR, ".md-search-result__item a")
        if items:
            break
        time.sleep(0.2)
    assert any("GradCam" in item.get_attribute("textContent") for item in items)
    messages = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = [
        one["params"]["request"]["url"]
        for one in messages
        if one["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert not [url for url in asked if url.startswith(("http:", "https:"))]
    assert not [one for one in browser.get_log("browser") if one["level"] == "SEVERE"]


def _on_an_index(source: str) -> str:
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.for_an_index((ROOT / "README.md").read_text(encoding="utf-8"), source)


def test_an_index_shows_the_readme_without_broken_links():
    text = _on_an_index("")
    assert "![" not in text
    assert all(link.startswith("https://") for link in re.findall(r"\]\(([^)]+)\)", text))
    assert "[captum](https://captum.ai)" in text
    assert "| Start, guide |" in text


def test_an_index_shows_pictures_once_the_address_is_known():
    text = _on_an_index("https://example.org/us")
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", text)
    assert all(link.startswith("https://") for _, link in links)
    for picture, link in links:
        if link.startswith("https://example.org"):
            assert link.startswith(f"https://example.org/us/{'raw' if picture else 'blob'}/main/")
            assert Path(ROOT / link.split("/main/")[1].split("#")[0]).exists()
