"""The report: one file, opened in a real browser without a network."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from keras_saliency import plot
from keras_saliency.comparison.page import Layer, Photo, map_uri, page, photo_uri
from keras_saliency.comparison.table import Cell, Table, interval, number

pytestmark = pytest.mark.no_model

RNG = np.random.default_rng(0)
NASTY = '<script>document.title="owned"</script>.jpg'
BREAKER = '"><img src=x onerror=alert(1)>'
TEMPLATE = "{{manifest}} </script><script>alert(2)</script>"


def layer(name, signed=False, **more):
    values = RNG.normal(size=(40, 60)).astype("float32")
    return Layer(name, values if signed else np.abs(values), signed, **more)


def report(name="dog.jpg", method="lrp", title="espresso, logit 9.1"):
    table = Table(("method", "deletion ↓"), [[Cell(method), Cell("0.1", best=True)]], [method])
    picture = RNG.integers(0, 256, (40, 60, 3), np.uint8)
    layers = [
        layer("gradient", scores=["deletion ↓ 0.2"]),
        layer(method, signed=True, checks={"completeness_error": 0.25}, findings=[f"{method}: no"]),
    ]
    tall = [
        Layer("gradient", RNG.random((40, 10)), False),
        Layer(method, RNG.random((40, 10)), False),
    ]
    photos = [
        Photo(name, title, picture, layers, table),
        Photo("other", title, picture[:, :10], tall, table),
    ]
    return page(f"Where {method} looks", photos, {"model": method, "picture": name}, table)


# ---------------------------------------------------------------------- without a browser


def test_nothing_is_fetched():
    text = re.sub(r"<script>.*?</script>", "", report(), flags=re.S)
    for result in re.findall(r'(?:src|href|action|url)\s*[=(]\s*["\']?([^"\'\s>)]+)', text):
        assert result.startswith(("data:image/", "#photo-")), result
    assert not re.search(r"https?:|//[a-z]|@import", re.sub(r"data:image/[^\"]+", "", report()))
    assert "default-src 'none'" in text


@pytest.mark.parametrize("nasty", [NASTY, BREAKER, TEMPLATE])
def test_names_are_text(nasty):
    text = report(nasty, nasty, nasty).replace("<wbr>", "")
    assert nasty not in text
    assert text.count("<script") == 1
    assert text.count("onerror") == text.count("onerror=alert(1)&gt;")
    assert html.escape(nasty) in text
    manifest = re.search(r'<pre id="manifest">(.*?)</pre>', text, re.S)[1]
    assert json.loads(html.unescape(manifest)) == {"model": nasty, "picture": nasty}


def decoded(uri):
    kind, _, data = uri.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert image.format.lower() == kind.removeprefix("data:image/")
    return image


@pytest.mark.parametrize("signed", [False, True])
def test_a_map_has_the_colours_of_a_figure_and_is_seen_through_where_it_is_0(signed):
    ramp = np.linspace(-1 if signed else 0, 1, 64, dtype="float32")[None].repeat(3, 0)
    image = decoded(map_uri(ramp, signed, (-1.0 if signed else 0.0, 1.0)))
    assert (image.mode, image.size) == ("P", (64, 3))  # 8 bits a pixel
    rgba = np.asarray(image.convert("RGBA")).astype(int)[0]
    share = (ramp[0] + 1) / 2 if signed else ramp[0]
    np.testing.assert_allclose(rgba[:, :3], 255 * plot.colormap(signed)(share)[:, :3], atol=6)
    assert rgba[-1, 3] == 255
    assert rgba[0, 3] == (255 if signed else 0)
    middle = rgba[31:33, 3] if signed else rgba[:1, 3]
    assert middle.max() <= 25
    assert (np.diff(rgba[32:, 3]) >= 0).all()


def test_maps_and_photos_have_a_reasonable_size():
    large = RNG.random((1500, 3000)).astype("float32")
    assert decoded(map_uri(large, False, (0.0, 1.0))).size == (512, 256)
    assert decoded(photo_uri(np.zeros((1500, 3000, 3), np.uint8))).size == (1024, 512)
    assert decoded(photo_uri(np.zeros((9, 7, 1), np.uint8))).size == (7, 9)
    holes = np.full((8, 8), np.nan, "float32")
    assert np.asarray(decoded(map_uri(holes, False, (0.0, 1.0))).convert("RGBA"))[
        ..., 3
    ].max() == 0  # fmt: skip


def test_numbers():
    assert number(float("nan")) == "–"
    assert [number(one) for one in (0, -0.5, 123.456, 2e6)] == ["0.000", "-0.500", "123.5", "2e+06"]
    assert interval(0.5, 0.25, 1) == "0.500 [0.250, 1.000]"
    assert interval(*[float("nan")] * 3) == "–"


# ---------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    binary = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("profile")
    for word in (
        "headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "window-size=1200,1000", f"user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    opened = webdriver.Chrome(options=options, service=service)
    opened.get("about:blank")  # past what the browser's own first page asks for
    yield opened
    opened.quit()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page; afterwards assert that nothing went wrong in it and nothing was fetched."""

    def open_page(text):
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        browser.get(path.as_uri())
        return browser

    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what was said before does not count
    yield open_page
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in asked) == 1


def shown(driver, photo=0):
    """The maps over a photo that can be seen, and their opacity."""
    return driver.execute_script(
        """return [...document.querySelectorAll(`#photo-${arguments[0]} .stage .over`)]
        .filter((one) => one.getClientRects().length)
        .map((one) => [one.dataset.method, Number(getComputedStyle(one).opacity)]);""",
        photo,
    )


@pytest.mark.long
def test_the_slider_fades_the_map(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened(report())
    assert shown(driver) == [["gradient", 0.8]]
    slider = driver.find_element("css selector", "#photo-0 .opacity")
    assert driver.find_element("css selector", f"label[for={slider.get_attribute('id')}]").text
    slider.send_keys(Keys.HOME)
    assert shown(driver) == [["gradient", 0.0]]
    slider.send_keys(*[Keys.ARROW_RIGHT] * 3)
    assert shown(driver) == [["gradient", 0.03]]
    assert driver.find_element("css selector", "#photo-0 output").text == "3%"
    thumb = driver.find_element("css selector", "#photo-0 .tile .over")
    assert thumb.value_of_css_property("opacity") == "0.03"
    assert shown(driver, 1) == [["gradient", 0.8]]  # each photo has its own


@pytest.mark.long
def test_the_method_is_chosen_by_mouse_and_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened(report())
    find = driver.find_element
    assert find("css selector", "#photo-0 .now").text == "gradient"
    find("css selector", '#photo-0 input[value="0-1"]').click()
    assert shown(driver) == [["lrp", 0.8]]
    assert find("css selector", "#photo-0 .now").text == "lrp"
    find("css selector", '#photo-0 input[value="0-1"]').send_keys(Keys.ARROW_UP)
    assert shown(driver) == [["gradient", 0.8]]
    tile = find("css selector", '#photo-0 .tile[data-key="0-1"]')
    tile.send_keys(Keys.ENTER)
    assert shown(driver) == [["lrp", 0.8]]
    assert tile.get_attribute("aria-pressed") == "true"
    assert find("css selector", '#photo-0 input[value="0-1"]').is_selected()
    assert shown(driver, 1) == [["gradient", 0.8]]
    low = find("css selector", "#photo-0 .low").text
    assert low.startswith("\u2212")  # the scale is that of a signed map


@pytest.mark.long
def test_all_pictures_are_drawn_and_named(opened):
    driver = opened(report())
    drawn = driver.execute_script(
        "return [...document.images].map((one) => [one.alt, one.complete && one.naturalWidth]);"
    )
    assert len(drawn) == 2 * (1 + 2 + 2 * 2)
    assert {width for _, width in drawn} == {60, 10}
    named = {alt for alt, _ in drawn} - {""}
    assert {"Photo dog.jpg", "Map of lrp over dog.jpg"} <= named
    for where, ratio in (("#photo-0", 1.5), ("#photo-1", 0.25)):
        sizes = driver.execute_script(
            """return [".stage .base", ".stage .over"].map((one) => {
            const box = document.querySelector(arguments[0] + " " + one).getBoundingClientRect();
            return [box.x, box.y, box.width, box.height]; });""",
            where,
        )
        assert sizes[0] == sizes[1]  # the map lies exactly over the photo
        assert sizes[0][2] / sizes[0][3] == pytest.approx(ratio, rel=0.02)
        assert 100 < sizes[0][3] < 1000  # and both into the window
    wide = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert driver.execute_script(wide)


@pytest.mark.long
def test_light_and_dark(opened):
    driver = opened(report())

    def colours():
        body = driver.find_element("css selector", "body")
        return [
            np.mean([int(n) for n in re.findall(r"\d+", body.value_of_css_property(name))[:3]])
            for name in ("background-color", "color")
        ]

    seen = {}
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        seen[scheme] = colours()
    assert seen["light"][0] > 200 > 60 > seen["light"][1]
    assert seen["dark"][0] < 60 < 200 < seen["dark"][1]


@pytest.mark.parametrize("nasty", [NASTY, BREAKER, TEMPLATE])
@pytest.mark.long
def test_hostile_names_are_inert(opened, nasty):
    driver = opened(report(nasty, nasty, nasty))
    assert driver.title == f"Where {nasty} looks"
    assert driver.find_element("css selector", "#name-0").text == nasty
    assert driver.execute_script("return document.scripts.length") == 1
    choices = driver.find_elements("css selector", "#photo-0 fieldset label")
    assert [choice.text for choice in choices] == ["gradient", nasty]
    choices[1].click()
    assert shown(driver) == [[nasty, 0.8]]
    assert driver.find_element("css selector", "#photo-0 .now").text == nasty
