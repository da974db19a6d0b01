"""All pieces on one page: python -m addlab.article OUT.html"""

import sys
from pathlib import Path

from addlab.article import FOLDER, data, page

PIECES = ["beat", "learn", "fade", "phantom", "machine", "prove"]


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(f"addlab.article: got {' '.join(arguments) or 'nothing'}, allowed is one file to write", file=sys.stderr)
        return 2
    there = [piece for piece in PIECES if (FOLDER / f"{piece}.js").exists()]
    Path(arguments[0]).write_text(page({piece: getattr(data, piece)() for piece in there}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
