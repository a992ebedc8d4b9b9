"""The page: its tabs, its look, and the links that reopen a state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from stvlm.demo.asking import DEFAULT_HOUR
from stvlm.demo.desk import Desk
from stvlm.demo.exploring import Catalogue
from stvlm.demo.tabs import api, ask, explore, measure, score
from stvlm.demo.tabs.ask import FIRST_TASK
from stvlm.demo.tabs.parts import friendly
from stvlm.demo.uploads import MOST_BYTES
from stvlm.evaluation.dataset import Row

TABS = ("ask", "measure", "explore", "score")
HOURS = tuple(str(hour) for hour in range(1, 13))
HERE = Path(__file__).parent
WAITING = 64
"""Visitors in the queue; more are asked to come back."""
THREADS = 100
"""Everybody in a line has one."""
UPLOADS_KEPT_S = 600
"""As they were sent; looked at every minute."""
SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "DejaVu Sans", "sans-serif")
# Into the address of the page, and that of the Hub's page around it, beside what other tabs have there.
_TO_ADDRESS = """(query) => {
  const parts = new URLSearchParams(location.search);
  for (const [key, value] of new URLSearchParams(query)) value ? parts.set(key, value) : parts.delete(key);
  const queryString = parts.toString();
  history.replaceState(null, '', '?' + queryString);
  window.dispatchEvent(new Event('address'));
  if (window.parent !== window) window.parent.postMessage({ queryString }, 'https://huggingface.co');
}"""
_TABS_TO_ADDRESS = f"""
document.addEventListener('click', (event) => {{
  const tab = event.target.closest('button[role="tab"]');
  if (tab) ({_TO_ADDRESS})('tab=' + tab.textContent.trim().toLowerCase());
}});
"""
_HEAD = """
<div class="head"><h1>How does it move?</h1>
<p>Draw a box around something that moves, and ask a vision-language model how far it travels, how fast it is, which way
it turns and when, or which of <span class="r">two</span> <span class="b">boxes</span> gets farther. Beside the answer:
the truth where it is known, and in the tab Measure what geometry tells.</p></div>
"""


def build_page(desk: Desk, catalogue: Catalogue | None) -> gr.Blocks:
    """All tabs."""
    hidden: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    exploring = None
    with gr.Blocks(title="ST-VLM", analytics_enabled=False, delete_cache=(60, UPLOADS_KEPT_S)) as page:
        gr.HTML(_HEAD, js_on_load=_TABS_TO_ADDRESS, apply_default_css=False)
        with gr.Tabs() as tabs:
            with gr.Tab("Ask", id="ask"):
                asking = ask.build(desk)
            with gr.Tab("Measure", id="measure", render_children=True):
                measure.build(desk, asking.study)
            if catalogue is not None:
                with gr.Tab("Explore", id="explore", render_children=True):
                    exploring = explore.build(catalogue)
            with gr.Tab("Score", id="score", render_children=True):
                score.build(_rows(catalogue), desk.results)
        api.build(desk, catalogue)

        @friendly
        def reopen(request: gr.Request) -> list[Any]:
            given = dict(request.query_params)
            tab = gr.Tabs(selected=given["tab"]) if given.get("tab") in TABS else gr.skip()
            clip_id = given.get("clip", "")
            if clip_id not in desk.examples:
                clip_id = next(iter(desk.examples), "")
            hour = int(given["hour"]) if given.get("hour") in HOURS else DEFAULT_HOUR
            asked = asking.open_from(clip_id, given.get("task", FIRST_TASK), hour) if clip_id else _skipped(asking)
            return [tab, *asked[:-1], gr.skip()]  # the address is as it was

        page.load(reopen, None, [tabs, *asking.opened], **hidden)
        links = [asking.link]
        if exploring is not None:
            browse = friendly(lambda request: exploring.open_from(dict(request.query_params)))
            browse.__annotations__ = {"request": gr.Request}
            page.load(browse, None, exploring.opened, **hidden)
            links.append(exploring.link)
        for link in links:
            link.change(None, link, None, js=_TO_ADDRESS, **hidden)
    page.queue(max_size=WAITING, default_concurrency_limit=4)
    return page


def _rows(catalogue: Catalogue | None) -> dict[str, Row]:
    return {} if catalogue is None else {row["id"]: row for item in catalogue.items.values() for row in item.rows}


def _skipped(asking: ask.Ask) -> list[Any]:
    return [gr.skip()] * len(asking.opened)


def launch_options(desk: Desk, catalogue: Catalogue | None) -> dict[str, Any]:
    """How the page is served: nothing is fetched from elsewhere, and no file but the clips is given out."""
    clips = {str(clip.path.parent) for _, clip in desk.examples.values()}
    if catalogue is not None:
        clips |= catalogue.folders
    theme = gr.themes.Base(
        primary_hue="slate", neutral_hue="slate", font=SYSTEM_FONTS, font_mono=("ui-monospace", "monospace"),
        radius_size="lg",
    )  # fmt: skip
    return {
        "theme": theme,
        "css": (HERE / "style.css").read_text(encoding="utf-8"),
        "allowed_paths": [str(desk.work), *sorted(clips)],
        "max_file_size": MOST_BYTES,
        "max_threads": THREADS,
        "footer_links": ["api"],
        "mcp_server": True,
        "ssr_mode": False,
        "show_error": False,
        "quiet": True,  # or it says how to let strangers in
        "prevent_thread_lock": True,
    }
