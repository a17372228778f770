"""The live page in a real browser: by keyboard and mouse, and no request leaves the machine."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import socket
import time
import zipfile

import numpy as np
import pytest
from PIL import Image
from test_app import PHOTO, classifier, dense

from keras_saliency import app, errors
from keras_saliency.app.session import Session

pytestmark = [pytest.mark.long, pytest.mark.any_backend]


@pytest.fixture(scope="module")
def address():
    pytest.importorskip("gradio")
    return app.serve({"classes": classifier(), "dense": dense()}, block=False)


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
    for word in (
        "headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "window-size=1300,1600", f"user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.get("about:blank")
    yield opened
    opened.quit()


@pytest.fixture
def page(browser, address):
    """Open the page; afterwards assert that nothing went wrong and no request left the machine."""
    browser.get("about:blank")  # what the page before still asked for is given up here
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(address)
    wait(lambda: find(browser, "#explain"))
    wait(lambda: "Drop" not in text(browser, "#status") and find(browser, "#picture img"))
    yield browser
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert sum(url.startswith(address) for url in asked) > 10
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def find(driver, selector):
    found = driver.find_elements("css selector", selector)
    return found[0] if found else None


def text(driver, selector):
    one = find(driver, selector)
    return one.text if one else ""


def wait(condition, seconds=60):
    from selenium.common.exceptions import StaleElementReferenceException

    for _ in range(seconds * 10):
        with contextlib.suppress(StaleElementReferenceException):  # the page redraws itself
            if found := condition():
                return found
        time.sleep(0.1)
    pytest.fail("the page did not do it in time")


def choose(driver, which, word):
    """Choose from a menu by the keyboard."""
    from selenium.webdriver.common.keys import Keys

    box = find(driver, f"#{which} input")
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(word)
    time.sleep(0.5)
    box.send_keys(Keys.ENTER)
    wait(lambda: find(driver, f"#{which} input").get_property("value") == word)


def explained(driver):
    """Press the button by the keyboard; return what is said and the numbers by method."""
    from selenium.webdriver.common.keys import Keys

    before = sources(driver)
    find(driver, "#explain").send_keys(Keys.ENTER)
    wait(lambda: "Explained" in text(driver, "#status") and sources(driver) not in (before, []))
    return text(driver, "#status"), numbers(driver)


def sources(driver):
    images = driver.find_elements("css selector", "#wipe img, #machine img, #people img")
    return [one.get_attribute("src") for one in images]


def numbers(driver):
    rows = re.findall(r"^(\w+) (-?[\d.]+) (-?[\d.]+)$", text(driver, "#agreement"), re.M)
    return {name: (float(cc), float(nss)) for name, cc, nss in rows}


def upload(driver, tmp_path, pixels=PHOTO):
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    find(driver, "#picture button[aria-label*='Clear'], #picture button[title*='Clear'], "
         "#picture button[aria-label*='Remove']").click()  # fmt: skip
    wait(lambda: find(driver, "#picture input[type=file]")).send_keys(str(path))
    wait(lambda: find(driver, "#picture img"))
    time.sleep(0.5)


def test_the_keyboard_explains_and_the_numbers_are_those_of_the_package(page, tmp_path):
    upload(page, tmp_path)
    choose(page, "class", "2")
    choose(page, "layer", "conv")
    said, shown = explained(page)
    known = Session({"classes": classifier()}).look(
        PHOTO, "classes", ("grad_cam", "gradient"), 2, "conv"
    )
    assert known.explanations[0].title() in said.replace("\\", "")
    for one, agreement in zip(known.explanations, known.agreement, strict=True):
        cc, nss = shown[one.info["method"]]
        assert cc == pytest.approx(agreement["cc"], abs=0.006)
        assert nss == pytest.approx(agreement["nss"], abs=0.006)
    assert "Left: grad_cam. Right: gradient." in text(page, "#wipe")


def test_sliders_by_keyboard(page, tmp_path):
    from selenium.webdriver.common.keys import Keys

    upload(page, tmp_path)
    explained(page)
    before = sources(page)
    find(page, "#opacity input[type=range]").send_keys(Keys.HOME)  # 0: the picture itself
    wait(lambda: not set(sources(page)) & set(before) and len(sources(page)) == len(before))
    drawn = "const i = document.querySelector('#people img'); return i.complete && i.naturalWidth"
    wait(lambda: page.execute_script(drawn))
    pixels = page.execute_script(
        """const one = document.querySelector("#people img");
        const canvas = document.createElement("canvas");
        canvas.width = one.naturalWidth; canvas.height = one.naturalHeight;
        canvas.getContext("2d").drawImage(one, 0, 0);
        return [canvas.width, canvas.height,
                [...canvas.getContext("2d").getImageData(0, 0, 60, 40).data]];"""
    )
    assert pixels[:2] == [60, 40]
    shown = np.reshape(pixels[2], (40, 60, 4))[..., :3]
    assert np.abs(shown - PHOTO.astype(int)).mean() < 1

    def line():
        handle = find(page, "#wipe [role=slider], #wipe .outer, #wipe .inner")
        return handle.rect["x"]

    middle = line()
    find(page, "#position input[type=range]").send_keys(Keys.HOME)
    wait(lambda: line() < middle - 50)


def test_the_wipe_by_mouse(page, tmp_path):
    from selenium.webdriver import ActionChains

    upload(page, tmp_path)
    explained(page)
    handle = find(page, "#wipe [role=slider], #wipe .outer, #wipe .inner")
    middle = handle.rect["x"]
    ActionChains(page).click_and_hold(handle).move_by_offset(-120, 0).release().perform()
    moved = find(page, "#wipe [role=slider], #wipe .outer, #wipe .inner").rect["x"]
    assert moved == pytest.approx(middle - 120, abs=15)


def test_a_click_on_the_picture_explains_a_dense_output(page, tmp_path):
    from selenium.webdriver import ActionChains

    photo = np.kron(PHOTO, np.ones((10, 10, 1), np.uint8))  # a small one is shown small
    upload(page, tmp_path, photo)
    choose(page, "model", "dense")
    wait(lambda: "click the pixel" in text(page, "#picture"))
    image = find(page, "#picture img")
    width, height = image.rect["width"], image.rect["height"]
    scale = min(width / 600, height / 400)  # the picture fits in
    ActionChains(page).move_to_element_with_offset(
        image, int(200 * scale), int(-100 * scale)
    ).click().perform()
    wait(lambda: "Explained" in text(page, "#status"))
    row, column = (
        int(find(page, f"#{one} input").get_property("value")) for one in ("row", "column")
    )
    assert (row, column) == (pytest.approx(100, abs=5), pytest.approx(500, abs=5))
    session = Session({"dense": dense()})
    look = session.look(photo, "dense", ("grad_cam", "gradient"), at=(row, column))
    assert look.explanations[0].title() in text(page, "#status")
    # The same by the keyboard.
    find(page, "#row input").send_keys("\ue009a" + "\ue000", "399\t")
    said, _ = explained(page)
    look = session.look(photo, "dense", ("grad_cam", "gradient"), at=(399, column))
    assert look.explanations[0].title() in said
    assert ", at row 7, column " in said


def test_what_cannot_be_explained_is_said_and_shows_no_old_map(page, tmp_path):
    upload(page, tmp_path)
    explained(page)
    choose(page, "layer", "top")
    find(page, "#explain").click()
    wait(lambda: "No map." in text(page, "#status"))
    assert "top" in text(page, "#status")
    wait(lambda: sources(page) == [] and not numbers(page))


def test_the_download_is_a_zip_of_manifests(page, tmp_path):
    folder = tmp_path / "downloads"
    page.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
    )
    upload(page, tmp_path)
    explained(page)
    button = wait(lambda: (b := find(page, "#download")) and b.is_enabled() and b)
    time.sleep(0.5)
    button.click()
    (path,) = wait(lambda: folder.is_dir() and list(folder.glob("*.zip")))
    names = zipfile.ZipFile(io.BytesIO(path.read_bytes())).namelist()
    assert {"saliency/grad_cam/figure.png", "saliency/people/manifest.json"} <= set(names)


@pytest.mark.parametrize("width", [390, 1300])
def test_nothing_is_wider_than_the_window(page, tmp_path, width):
    emulated = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", emulated)
    try:
        upload(page, tmp_path)
        explained(page)
        wide = "return [document.documentElement.scrollWidth, innerWidth]"
        scroll, inner = page.execute_script(wide)
        assert scroll <= inner == width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_only_this_machine_is_served(address):
    port = int(re.search(r":(\d+)", address.removeprefix("http:"))[1])
    assert address.startswith("http://127.0.0.1:")
    with socket.socket() as free:  # no other address of this machine listens at the port
        free.bind(("127.0.0.2", port))
    with pytest.raises(errors.InputError, match=r"Cannot serve the page on 127\.0\.0\.1"):
        app.serve({"classes": classifier()}, port=port, block=False)
