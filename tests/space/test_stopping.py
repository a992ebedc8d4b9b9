"""Long work in a real browser: Stop ends it on the page and on the server, and whoever comes next is served."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.demo.worlds import street, write_mp4
from tests.evaluation.tiny_models import SIZES, write_model
from tests.space.served import Served, served
from tests.space.test_browser import CHROMIUM, SLOW_MS, draw, open_tab, playwright
from tests.space.test_browser import SIZES as SCREENS

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With a model that takes seconds for an answer."""
    root = tmp_path_factory.mktemp("space")
    with served(root, write_model(root / "model", sizes=replace(SIZES, language_layers=32))) as running:
        yield running


@pytest.fixture
def page(app: Served) -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport=SCREENS["desktop"])
        opened.set_default_timeout(SLOW_MS)
        opened.goto(app.url)
        opened.wait_for_selector("#examples button")
        opened.wait_for_function("document.querySelector('#stage video').readyState === 4")
        yield opened
        browser.close()


def used_by(app: Served, work: Callable[[], None]) -> tuple[float, float]:
    """The seconds that work takes, of the processor and by the clock."""
    cpu_s, began_s = app.cpu_s(), time.monotonic()
    work()
    return app.cpu_s() - cpu_s, time.monotonic() - began_s


def is_stopped_early(app: Served, page: Any, begin: Callable[[], None], whole: tuple[float, float]) -> bool:
    """Whether work that was begun uses much less than all of it did, in the time that all of it took."""
    cpu_s, wall_s = whole

    def half_done() -> None:
        begin()
        page.wait_for_timeout(1000 * wall_s)

    return used_by(app, half_done)[0] < 0.6 * cpu_s


def test_an_answer_is_stopped(app: Served, page: Any) -> None:
    said = page.locator("#answer .said")
    assert page.locator("#stop").is_disabled()

    def ask() -> None:
        page.click("#ask")
        page.wait_for_selector("#answer dl")

    def ask_and_stop() -> None:
        page.click("#ask")
        page.wait_for_function("/The model looks|before you/.test(document.querySelector('#answer').innerText)")
        page.click("#stop")
        page.wait_for_function("document.querySelector('#answer').innerText.trim() === 'Stopped.'")

    ask()  # the first answer of all takes longer
    assert is_stopped_early(app, page, ask_and_stop, used_by(app, ask))
    assert said.inner_text() == "Stopped.", "nothing comes later"
    assert page.locator("#stop").is_disabled()
    ask()
    assert said.inner_text() not in ("", "Stopped.")


def test_measuring_is_stopped(app: Served, page: Any) -> None:
    open_tab(page, "Measure")
    assert page.locator("#stop-measuring").is_disabled()

    def measure() -> None:
        page.click("#measure")
        page.wait_for_function("!document.querySelector('#stop-measuring').disabled")
        page.wait_for_function("document.querySelector('#stop-measuring').disabled")

    def measure_and_stop() -> None:
        page.click("#measure")
        page.wait_for_selector("#measuring progress")
        page.click("#stop-measuring")
        page.wait_for_function("document.querySelector('#measuring').innerText.trim() === 'Stopped.'")

    assert is_stopped_early(app, page, measure_and_stop, used_by(app, measure))
    assert page.locator("#measured table").count() == 0
    assert page.locator("#stop-measuring").is_disabled()


def test_following_is_stopped(app: Served, page: Any, tmp_path: Path) -> None:
    video = write_mp4(tmp_path / "street.mp4", street(190, 640, 400), crf="30")
    page.locator("input[type=file]").first.set_input_files(str(video))
    page.wait_for_function("document.querySelector('#stage input').max === '189'")
    page.wait_for_function("document.querySelector('#stage video').readyState === 4")
    draw(page, (40 / 640, 80 / 400, 88 / 640, 128 / 400), by_corners=False)
    page.click("#stop-following")
    page.wait_for_function("document.querySelector('.stage-note').textContent.startsWith('Stopped.')")
    page.wait_for_timeout(1000)
    assert page.locator("#stage svg rect").count() == 0
    assert not page.locator("#stop-following").is_visible()
