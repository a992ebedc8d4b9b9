"""Long work in a real browser: Stop ends it on the page and on the server, and whoever comes next is served."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.demo.worlds import street, write_mp4
from tests.evaluation.tiny_models import SIZES, write_model
from tests.space.served import Served, served
from tests.space.test_browser import CHROMIUM, SLOW_MS, draw, open_tab, playwright
from tests.space.test_browser import SIZES as SCREENS
from transformers import GenerationConfig

LATER_MS = 2000
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With a model that takes seconds for an answer."""
    root = tmp_path_factory.mktemp("space")
    model = write_model(root / "model", sizes=replace(SIZES, language_layers=32))
    generation = GenerationConfig.from_pretrained(model)
    generation.min_new_tokens = 128
    generation.save_pretrained(model)
    with served(root, model) as running:
        yield running


@pytest.fixture
def page(app: Served) -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport=SCREENS["desktop"])
        opened.set_default_timeout(SLOW_MS)
        opened.goto(app.url)
        opened.wait_for_selector("#examples button")
        opened.wait_for_function("document.querySelector('#stage video')?.readyState === 4")
        yield opened
        browser.close()


def test_an_answer_is_stopped(page: Any) -> None:
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

    ask_and_stop()
    page.wait_for_timeout(LATER_MS)
    assert said.inner_text() == "Stopped.", "nothing comes later"
    assert page.locator("#stop").is_disabled()
    ask()
    assert said.inner_text() not in ("", "Stopped.")


def test_measuring_is_stopped(page: Any) -> None:
    open_tab(page, "Measure")
    assert page.locator("#stop-measuring").is_disabled()
    page.click("#measure")
    page.click("#stop-measuring")  # as soon as it can be
    told = "document.querySelector('#measuring').innerText.trim() === 'Stopped.'"
    page.wait_for_function(told)
    page.wait_for_timeout(LATER_MS)
    assert page.evaluate(told), "nothing comes later"
    assert page.locator("#stop-measuring").is_disabled()


def test_following_is_stopped(page: Any, tmp_path: Path) -> None:
    video = write_mp4(tmp_path / "street.mp4", street(180, 640, 400), crf="30")
    page.locator("input[type=file]").first.set_input_files(str(video))
    page.wait_for_function("document.querySelector('#stage input').max === '179'")
    page.wait_for_function("document.querySelector('#stage video')?.readyState === 4")
    draw(page, (40 / 640, 80 / 400, 88 / 640, 128 / 400), by_corners=False)
    page.click("#stop-following")
    page.wait_for_function("document.querySelector('.stage-note').textContent.startsWith('Stopped.')")
    page.wait_for_timeout(1000)
    assert page.locator("#stage svg rect").count() == 0
    assert not page.locator("#stop-following").is_visible()
