"""Draws a contact sheet of a built dataset: boxed frames, the view from above, questions and answers.

python dataset_builder/contact_sheet.py stkit --out sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stvlm.dataset.contact_sheet import contact_sheet
from stvlm.files import whole_file
from stvlm.programs import positive_int, run_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a folder that dataset_builder/build.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write, a .png or .jpg")
    parser.add_argument("--clips", type=positive_int, default=6, help="how many clips (default: 6)")
    parser.add_argument("--frames", type=positive_int, default=5, help="how many frames of each (default: 5)")
    parser.add_argument("--clip-id", action="append", default=[], help="show this clip; may be given several times")
    args = parser.parse_args()
    if args.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        parser.error(f"--out {args.out}: the picture's name ends in .png or .jpg")
    sheet = contact_sheet(args.dataset, args.clips, args.frames, args.clip_id)
    with whole_file(args.out) as temporary:
        sheet.save(temporary)
    print(f"{args.out}: {sheet.width} x {sheet.height} pixels")


if __name__ == "__main__":
    run_program(main)
