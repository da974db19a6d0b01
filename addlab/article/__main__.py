"""All pieces on one page: python -m addlab.article OUT.html"""

import importlib
import sys
from pathlib import Path

from addlab.article import FOLDER, data, page

PIECES = ["beat", "learn", "fade", "phantom", "claims", "machine", "prove"]  # in the article's order


def facts(piece):
    """What a piece shows: the function of its name in data or pieces makes it."""
    if hasattr(data, piece):
        return getattr(data, piece)()
    return getattr(importlib.import_module("addlab.article.pieces"), piece)()


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(f"addlab.article: got {' '.join(arguments) or 'nothing'}, allowed is one file to write", file=sys.stderr)
        return 2
    pieces = {piece: facts(piece) for piece in PIECES if (FOLDER / f"{piece}.js").exists()}
    Path(arguments[0]).write_text(page(pieces), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
