"""All pieces on one page: python -m addlab.article OUT.html"""

import sys
from pathlib import Path

from addlab.article import PIECES, facts, page


def main(arguments):
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(f"addlab.article: got {' '.join(arguments) or 'nothing'}, allowed is one file to write", file=sys.stderr)
        return 2
    Path(arguments[0]).write_text(page({piece: facts(piece) for piece in PIECES}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
