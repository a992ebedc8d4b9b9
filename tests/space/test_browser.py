"""The Space in a real browser, at a desk and on a phone: every tab, an upload, a box, a streamed answer."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.demo.worlds import street, write_mp4
from tests.space.served import Served, served

CHROMIUM = shutil.which("chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: apt-get install chromium")
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
SLOW_MS = 120_000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("space")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mp4(tmp_path_factory.mktemp("video") / "street.mp4", street(40, 400), crf="12")


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, browser: Any, app: Served) -> Iterator[Any]:
    """A page that complains at the end about errors in its console, and about requests to anybody else; as do others
    that are opened beside it."""
    is_phone = request.param == "phone"
    own = (app.url, "data:", "blob:")
    context = browser.new_context(viewport=SIZES[request.param], has_touch=is_phone, is_mobile=is_phone)
    context.set_default_timeout(SLOW_MS)
    complaints: list[str] = []
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda told: complaints.append(str(told.error)))
    context.on("request", lambda it: complaints.append(it.url) if not it.url.startswith(own) else None)
    context.on("response", lambda it: complaints.append(f"{it.status} {it.url}") if it.status >= 400 else None)
    opened = context.new_page()
    opened.goto(app.url)
    opened.wait_for_selector("#examples button")
    opened.wait_for_function("document.querySelector('#stage video')?.readyState === 4")
    yield opened
    context.close()
    assert complaints == []


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def open_beside(page: Any) -> Any:
    """The page's address in another tab of the browser."""
    opened = page.context.new_page()
    opened.goto(page.url)
    return opened


def draw(page: Any, box: tuple[float, float, float, float], by_corners: bool) -> None:
    """Draws a box, given in shares of the stage."""
    view = page.locator("#stage svg").bounding_box()
    x0, x1 = (view["x"] + view["width"] * x for x in box[::2])
    y0, y1 = (view["y"] + view["height"] * y for y in box[1::2])
    if by_corners:
        page.touchscreen.tap(x0, y0)
        page.touchscreen.tap(x1, y1)
        return
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1)
    page.mouse.up()


def test_an_upload_is_boxed_asked_about_and_measured(page: Any, video: Path) -> None:
    is_phone = page.viewport_size["width"] < 500
    page.locator("input[type=file]").first.set_input_files(str(video))
    page.wait_for_function("document.querySelector('#stage input').max === '39'")
    page.wait_for_function("document.querySelector('#stage video')?.readyState === 4")
    page.locator("#stage svg").scroll_into_view_if_needed()
    draw(page, (40 / 400, 80 / 200, 88 / 400, 128 / 200), by_corners=is_phone)
    page.wait_for_selector("#stage svg rect.box-red:not(.drawn)", state="attached")
    page.locator("#stage input").evaluate("(it) => { it.value = 20; it.dispatchEvent(new Event('input')) }")
    page.wait_for_function("Math.abs(Number(document.querySelector('#stage rect').getAttribute('x')) - 100) < 4")
    assert "takes each box for a car" in page.locator("#stage .stage-hint").inner_text()
    page.click("#ask")
    page.wait_for_selector("#answer dl")
    assert page.locator("#answer .said").inner_text().strip()
    assert "0.0 to 3.5 s of the clip" in page.locator("#answer").inner_text()
    assert "not known of this clip" in page.locator("#answer").inner_text()
    assert page.locator("#frames figure").count() == 8
    open_tab(page, "Measure")
    page.click("#measure")
    page.wait_for_selector("#measured .card, #measured table, #measuring .card p:not(.wait)")


def test_what_is_told_of_a_clip_does_not_cover_it(page: Any, video: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(str(video))
    page.wait_for_function("document.querySelector('#stage .stage-note').textContent.startsWith('Drag a box')")
    view, note = (page.locator(f"#stage .stage-{part}").bounding_box() for part in ("view", "note"))
    assert note["y"] >= view["y"] + view["height"]
    assert page.locator("#stage .stage-draw span").is_visible()
    assert page.locator("#stage .stage-hint").text_content() == ""


def test_an_example_is_asked_about_as_it_streams(page: Any) -> None:
    page.evaluate(
        "(() => { window.grown = []; new MutationObserver(() => window.grown.push("
        "document.querySelector('#answer .said').textContent.length)).observe(document.querySelector('#answer'),"
        " { childList: true, subtree: true, characterData: true }) })()"
    )
    page.click("#ask")
    page.wait_for_selector("#answer dl")
    grown = page.evaluate("window.grown")
    assert len(set(grown)) > 2
    facts = page.locator("#answer").inner_text()
    assert "Truth" in facts and ("right" in facts or "wrong" in facts)


def test_an_example_is_measured_and_seen_from_above(page: Any) -> None:
    count = page.locator("#examples button").count()
    open_tab(page, "Measure")
    for i in range(count):
        open_tab(page, "Ask")
        page.locator("#examples button").nth(i).click()
        page.wait_for_function(f"location.search.includes('clip=') || {i} === 0")
        open_tab(page, "Measure")
        page.get_by_text("known, of examples").click()
        page.click("#measure")
        page.wait_for_selector("#measured .quiet >> text=Camera")
        if page.locator("#plots svg").count():
            break
    assert page.locator("#plots svg").count() == 3
    assert page.locator("#plots svg polyline.path").count() >= 2
    page.wait_for_function("!document.querySelector('#measured').innerText.includes('…')")
    assert page.locator("#measured tbody tr").count() >= 4


def test_the_dataset_is_looked_through(page: Any) -> None:
    open_tab(page, "Explore")
    page.wait_for_function("document.querySelector('#explored-stage video')?.readyState === 4")
    page.locator("#found button").nth(1).click()
    page.wait_for_function("location.search.includes('row=')")
    assert page.locator("#facts li").count() >= 1 and page.locator("#above svg").count() == 1
    assert "clips with" in page.locator("#count").inner_text()
    other = open_beside(page)
    other.wait_for_function("document.querySelector('#facts li') !== null")
    assert other.locator("#facts").inner_text() == page.locator("#facts").inner_text()


def test_answers_are_scored(page: Any) -> None:
    open_tab(page, "Score")
    page.click("#score")
    page.wait_for_selector("#scores table")
    assert "average" in page.locator("#scores").inner_text()
    assert page.locator("#scored-answers tbody tr").count() > 7
    assert "ST-VLM-7B" in page.locator("#leaderboard").inner_text()
    page.locator("#answers textarea").fill("nonsense")
    page.click("#score")
    page.wait_for_function("!document.querySelector('#scores table')")
    assert "Paste answers first" in page.locator("#scores").inner_text()
    assert page.locator("#scored-answers tr").count() == 0, "no score stands below answers that it is not of"


def test_a_link_opens_the_same_question(page: Any) -> None:
    page.locator("#examples button").nth(1).click()
    page.wait_for_function("location.search.includes('clip=')")
    page.get_by_text("How fast is it?").click()
    page.wait_for_function("location.search.includes('task=traveling_speed')")
    other = open_beside(page)
    other.wait_for_function("document.querySelector('#question textarea')?.value.includes('fast')")
    assert other.locator("#question textarea").input_value() == page.locator("#question textarea").input_value()


def test_the_address_says_which_tab_is_open(page: Any) -> None:
    page.locator("#examples button").nth(1).click()
    page.wait_for_function("location.search.includes('clip=')")
    open_tab(page, "Measure")
    page.wait_for_function("location.search.includes('tab=measure') && location.search.includes('clip=')")
    other = open_beside(page)
    other.wait_for_function("document.querySelector('#measured-stage video')?.readyState === 4")
    assert other.locator("#measure").is_visible()


def test_a_camera_that_is_none_is_told_by_name(page: Any, video: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(str(video))
    page.wait_for_function("document.querySelector('#stage input').max === '39'")
    page.locator("#stage svg").scroll_into_view_if_needed()
    draw(page, (40 / 400, 80 / 200, 88 / 400, 128 / 200), by_corners=page.viewport_size["width"] < 500)
    page.wait_for_function("document.querySelector('#stage .stage-note').textContent === 'Red is followed.'")
    open_tab(page, "Measure")
    page.get_by_label("Camera height, m").fill("1000000")
    page.click("#measure")
    page.wait_for_function("document.querySelector('#measuring').innerText.includes('height is 0.1 to 100 meters')")
    assert page.locator(".toast-body").count() == 0


def test_mistakes_are_told_kindly(page: Any, tmp_path: Path) -> None:
    (tmp_path / "fake.mp4").write_bytes(b"PK\x03\x04" * 100)
    page.locator("input[type=file]").first.set_input_files(str(tmp_path / "fake.mp4"))
    page.wait_for_function("document.querySelector('#taking').innerText.includes('no video that can be read here')")
    assert page.locator(".toast-body").count() == 0, "it is said once, where it stays"
    page.locator("#question textarea").fill("")
    page.click("#ask")
    page.wait_for_function("document.querySelector('#answer').innerText.includes('Type a question first.')")


def test_it_is_no_wider_than_the_screen(page: Any) -> None:
    for name in ("Ask", "Measure", "Explore", "Score"):
        open_tab(page, name)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"), name
