"""The page in Chromium: no violation of axe-core, no error, no scrolling to the side."""

import shutil

import numpy as np
import pytest

from jaxcompress import report
from tests.report.folders import make, with_seed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTHS = (390, 768, 1600)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra browser")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = make(tmp_path_factory.mktemp("report") / "run")
    with np.load(folder / "baseline.npz") as found:
        arrays = {name: found[name] for name in found.files}
    records = {
        "run": report.of_run(folder),
        "files": report.of_files([folder / "compressed.npz"], against=arrays),
        "seeds": report.of_seeds([folder, with_seed(folder, folder.with_name("other"), 1)]),
        "plan": report.of_plan(folder / "plan.json", profile=folder / "profile.json"),
    }
    for name, record in records.items():
        report.write(folder / f"page of {name}.html", record)
    return [folder / f"page of {name}.html" for name in records]


def opened(browser, path, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if "http" in request.url else None)
    page.goto(path.as_uri())
    return context, page, said


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_page(browser, pages, width):
    for path in pages:
        context, page, said = opened(browser, path, width, "light")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert not said and page.title()
        assert page.locator("section").count() >= 2
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser, pages, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra browser")
    for path in pages:
        context, page, _ = opened(browser, path, 1280, scheme)
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        context.close()


def test_the_keyboard_and_a_tap_tell_the_number_of_a_point(browser, pages):
    context, page, _ = opened(browser, pages[0], 1280, "light")
    point = page.locator("svg.chart g[tabindex]").first
    tip = point.locator(".tip")
    assert not tip.is_visible()
    point.focus()
    assert tip.is_visible() and "90.00 %" in tip.text_content()
    page.keyboard.press("Tab")
    assert not tip.is_visible()
    page.mouse.move(0, 0)
    other = page.locator("svg.chart g[tabindex]").nth(1)
    other.locator(".point").click()
    page.mouse.move(0, 0)
    assert other.locator(".tip").is_visible(), "a tap gives the focus"
    context.close()


@pytest.mark.parametrize(("width", "is_shown"), [(390, False), (1280, True)])
def test_areas_are_for_wide_screens(browser, pages, width, is_shown):
    context, page, _ = opened(browser, pages[0], width, "light")
    areas = page.locator("svg.map").first
    assert areas.is_visible() == is_shown
    if is_shown:
        boxes = page.locator("svg.map").first.locator("rect")
        outer = areas.bounding_box()
        for n in range(boxes.count()):
            inner = boxes.nth(n).bounding_box()
            assert inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 2
    context.close()


def test_it_prints(browser, pages):
    context, page, _ = opened(browser, pages[0], 1280, "light")
    assert page.pdf(format="A4")[:5] == b"%PDF-"
    context.close()
