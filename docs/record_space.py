"""Films the demo while it is asked and while it measures: docs/space.gif. Needs playwright and a chromium on the PATH.

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

from PIL import Image
from playwright.sync_api import sync_playwright

OUT = Path(__file__).parent / "space.gif"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="where `make space` says that it runs")
    parser.add_argument("--example", type=int, default=0, help="which of the examples (default: the first)")
    args = parser.parse_args()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(args.url)
        page.wait_for_selector("#examples button")
        page.locator("#examples button").nth(args.example).click()
        page.wait_for_function("document.querySelector('#stage video')?.readyState === 4")
        page.wait_for_timeout(1500)
        page.evaluate("document.querySelector('#examples').scrollIntoView()")
        film = Film(page)
        film.take(HELD_S)
        for question in ("How far does it travel?", "How fast is it?", "Which travels farther?"):
            if not page.get_by_text(question, exact=True).count():
                continue
            page.get_by_text(question, exact=True).first.click()
            page.wait_for_timeout(600)
            page.click("#ask")
            page.wait_for_function("document.querySelector('#answer dl') === null")
            film.until("document.querySelector('#answer dl') !== null && document.querySelector('#stop').disabled")
        page.get_by_role("tab", name="Measure").click()
        page.get_by_text("known, of examples").click()
        page.click("#measure")
        film.until("!!document.querySelector('#measured table') && document.querySelector('#stop-measuring').disabled")
        film.take(2 * HELD_S)
        first, *others = (picture.quantize(128) for picture in film.pictures)
        first.save(OUT, save_all=True, append_images=others, duration=film.lasting_ms, loop=0, optimize=True)
        print(f"{OUT}: {len(film.pictures)} pictures, {OUT.stat().st_size / 1e6:.1f} MB")
        browser.close()


if __name__ == "__main__":
    main()
