"""Films and photographs the demo: docs/space.gif and docs/space/. Needs playwright and a chromium on the PATH.

make space                          # in another terminal, until it says where it runs
python docs/record_space.py http://127.0.0.1:7860
"""

from __future__ import annotations

import argparse
import io
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
OUT, PICTURES, PLAIN = DOCS / "space.gif", DOCS / "space", DOCS.parent / "space" / "examples" / "plain"
SHOWS_CLIP = "document.querySelector('#stage video')?.readyState === 4"
IS_ANSWERED = "document.querySelector('#answer dl') !== null && document.querySelector('#stop').disabled"
IS_MEASURED = "!!document.querySelector('#measured table') && document.querySelector('#stop-measuring').disabled"
WIDTH, HEIGHT, EVERY_S, HELD_S = 1180, 1060, 0.25, 2.5


class Film:
    """Pictures of a page; where nothing changes, one that is shown for longer."""

    def __init__(self, page: Any) -> None:
        self._page, self.pictures, self.lasting_ms = page, list[Image.Image](), list[int]()

    def take(self, lasting_s: float) -> None:
        """One picture."""
        picture = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
        if self.pictures and picture.tobytes() == self.pictures[-1].tobytes():
            self.lasting_ms[-1] += round(1000 * lasting_s)
        else:
            self.pictures.append(picture)
            self.lasting_ms.append(round(1000 * lasting_s))

    def until(self, is_so: str, most_s: float = 60.0) -> None:
        """Pictures until a condition holds in the page."""
        end = time.monotonic() + most_s
        while not self._page.evaluate(is_so) and time.monotonic() < end:
            self.take(EVERY_S)
            self._page.wait_for_timeout(1000 * EVERY_S)
        self.take(HELD_S)


def opened(browser: Any, url: str, **look: Any) -> Any:
    """The page, as far as its first example."""
    page = browser.new_page(**look)
    page.set_default_timeout(120_000)
    page.goto(url)
    page.wait_for_selector("#examples button")
    page.wait_for_function(SHOWS_CLIP)
    return page


def ask(page: Any) -> None:
    """Asks, and waits for the end of the answer."""
    page.click("#ask")
    page.wait_for_function(IS_ANSWERED)


def open_tab(page: Any, name: str) -> None:
    """Opens a tab, above."""
    page.get_by_role("tab", name=name).click()
    page.evaluate("window.scrollTo(0, 0)")


def film(browser: Any, url: str, example: int) -> None:
    """An example, three questions about it, and what geometry measures."""
    page = opened(browser, url, viewport={"width": WIDTH, "height": HEIGHT})
    page.locator("#examples button").nth(example).click()
    page.wait_for_function(SHOWS_CLIP)
    page.wait_for_timeout(1500)
    page.evaluate("document.querySelector('#examples').scrollIntoView()")
    film = Film(page)
    film.take(HELD_S)
    for question in ("How far does", "How fast is", "Which travels farther?"):
        label = page.locator("#task label", has_text=question)
        if not label.count():
            continue
        label.click()
        page.wait_for_timeout(600)
        page.click("#ask")
        page.wait_for_function("document.querySelector('#answer dl') === null")
        film.until(IS_ANSWERED)
    page.get_by_role("tab", name="Measure").click()
    page.get_by_text("known, of examples").click()
    page.click("#measure")
    film.until(IS_MEASURED)
    film.take(2 * HELD_S)
    first, *others = (picture.quantize(128) for picture in film.pictures)
    first.save(OUT, save_all=True, append_images=others, duration=film.lasting_ms, loop=0, optimize=True)
    print(f"{OUT}: {len(film.pictures)} pictures, {OUT.stat().st_size / 1e6:.1f} MB")
    page.close()


def photograph(browser: Any, url: str, video: Path, box_px: tuple[float, float, float, float]) -> None:
    """Every tab at a desk, by day and by night; and a video of one's own, asked about on a phone."""
    for mode in ("light", "dark"):
        page = opened(browser, url, viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=mode)
        ask(page)
        keep(page, f"ask_{mode}")
        open_tab(page, "Measure")
        page.get_by_text("known, of examples").click()
        page.click("#measure")
        page.wait_for_function(IS_MEASURED)
        keep(page, f"measure_{mode}")
        open_tab(page, "Explore")
        page.wait_for_function("document.querySelector('#explored-stage video')?.readyState === 4")
        page.wait_for_timeout(1500)
        keep(page, f"explore_{mode}")
        open_tab(page, "Score")
        page.click("#score")
        page.wait_for_selector("#scores table")
        keep(page, f"score_{mode}")
        page.close()
    phone = {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 1.5,
    }
    page = opened(browser, url, **phone)
    page.locator("input[type=file]").first.set_input_files(str(video))
    page.wait_for_function("!document.querySelector('#stage rect')")
    page.wait_for_function(SHOWS_CLIP)
    page.locator("#stage svg").scroll_into_view_if_needed()
    view, size = (
        page.locator("#stage svg").bounding_box(),
        page.evaluate(
            "(({videoWidth, videoHeight}) => [videoWidth, videoHeight])(document.querySelector('#stage video'))"
        ),
    )
    for x, y in (box_px[:2], box_px[2:]):
        page.touchscreen.tap(view["x"] + view["width"] * x / size[0], view["y"] + view["height"] * y / size[1])
    page.wait_for_selector("#stage svg rect.box-red:not(.drawn)", state="attached")
    ask(page)
    keep(page, "phone")
    page.close()


def keep(page: Any, name: str) -> None:
    """The whole page as a picture."""
    PICTURES.mkdir(exist_ok=True)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    picture.save(PICTURES / f"{name}.jpg", quality=80, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="where `make space` says that it runs")
    parser.add_argument("--example", type=int, default=0, help="which of the examples is filmed (default: the first)")
    parser.add_argument("--only", choices=("film", "pictures"), help="the one without the other")
    args = parser.parse_args()
    clip = pq.read_table(PLAIN / "clips.parquet").to_pylist()[0]
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        if args.only != "pictures":
            film(browser, args.url, args.example)
        if args.only != "film":
            photograph(browser, args.url, PLAIN / f"{clip['clip_id']}.mp4", clip["boxes_px"][1][:4])
        browser.close()


if __name__ == "__main__":
    main()
