"""The pieces that live in the article and in JupyterLab: plain ES modules, one style sheet, and the data they show.

`html` inlines a piece, `adder`, `training` and `machine` are the same modules as widgets. `python -m addlab.article
OUT.html` puts all pieces on one page.
"""

import functools
import itertools
import json
import re
from html import escape
from pathlib import Path

from addlab.article import data

FOLDER = Path(__file__).parent
PIECES = "beat", "learn", "fade", "phantom", "dose", "machine", "prove", "claims"  # in the article's order
IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (default )?((?:async )?function\*?|class|const|let) (\w+)", re.MULTILINE)
numbers = itertools.count()


def module(name):
    """A module's source without its import and export, as (names of those it needs, a function that returns its names).

    Modules share one script, so that they need no address of their own: a page from a file has none to give.
    """
    text = (FOLDER / name).read_text("utf-8")
    needs = [found[1] for found in IMPORT.findall(text)]
    text = IMPORT.sub(lambda found: f'const {{{found[1]}}} = modules["{found[2]}"];\n', text)
    names = [("default: " if found[0] else "") + found[2] for found in EXPORT.findall(text)]
    text = EXPORT.sub(r"\2 \3", text)
    return needs, f'modules["{name}"] = (() => {{\n{text}return {{{", ".join(names)}}};\n}})();\n'


@functools.cache
def program(names):
    """The modules `names` and all that they need, as `const modules`.

    They stand in one function, `program`, whose text is what a worker runs.
    """
    parts = {}

    def add(name):
        if name not in parts:
            needs, text = module(name)
            for need in needs:
                add(need)
            parts[name] = text

    for name in names:
        add(name)
    return f"const program = () => {{\nconst modules = {{}};\n{''.join(parts.values())}return modules;\n}};\n" \
           "const modules = program();\n"


def sheet():
    """The style of all pieces: what they share, then what some have of their own."""
    own = sorted(set(FOLDER.glob("*.css")) - {FOLDER / "style.css"})
    return "".join(path.read_text("utf-8") for path in (FOLDER / "style.css", *own))


def style():
    """The style sheet of all pieces, as an element."""
    return f"<style>\n{sheet()}</style>\n"


def facts(piece):
    """What a piece shows: the function of its name in data or pieces makes it."""
    from addlab.article import pieces  # its measures need all of addlab.study

    return getattr(data if hasattr(data, piece) else pieces, piece)()


def stills():
    """{piece: its still picture, where no script runs} of those that have one."""
    from addlab.article import pictures

    return {piece: getattr(pictures, piece)() for piece in PIECES if hasattr(pictures, piece)}


def html(piece, facts, still=""):
    """One piece as HTML that needs no other file and no network; `still` is shown where no script runs."""
    return style() + bodies({piece: facts}, {piece: still})


def bodies(pieces, stills=None):
    """Pieces {name: data} as HTML in one script, without the style sheet: {name} is the id of each one's element."""
    places, programs = parts(pieces, stills)
    return "".join(places.values()) + programs


def parts(pieces, stills=None):
    """({name: the HTML of its place}, the script that fills all) of pieces {name: data}, without the style sheet."""
    ids = {piece: f"{piece}-{next(numbers)}" for piece in pieces}
    places = {piece: f'<div class="addrnn {piece}" id="{name}">{(stills or {}).get(piece, "")}</div>\n'
              for piece, name in ids.items()}
    mounts = "".join(f'modules["{piece}.js"].default(document.getElementById("{ids[piece]}"), {as_json(facts)});\n'
                     for piece, facts in pieces.items())
    return places, f'<script type="module">\n{script(pieces)}{mounts}</script>\n'


def script(pieces):
    """The modules of `pieces`, fit for a script element."""
    return program(tuple(f"{piece}.js" for piece in pieces)).replace("</", "<\\/")


def as_json(facts):
    """Data as JavaScript, fit for a script element."""
    return json.dumps(facts, allow_nan=False).replace("</", "<\\/")


def page(pieces, title="How a network adds"):
    """A whole page of pieces {name: data}."""
    return (f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'; worker-src blob:\">\n"
            f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n{style()}'
            "<style>:root { color-scheme: light dark; }\n"
            "body { max-width: 46rem; margin: 0 auto; padding: 1rem 1.25rem 4rem; }\n"
            "@media (prefers-color-scheme: dark) { body { background: #16181b; } }\n"
            ".addrnn { margin: 4rem 0; }</style>\n"
            f"{bodies(pieces)}</html>\n")


def widget(piece, facts):
    """A piece as a widget of JupyterLab: the same modules, served by anywidget."""
    import anywidget  # only a notebook needs it
    import traitlets

    class Piece(anywidget.AnyWidget):
        _esm = (f"{program((f'{piece}.js',))}export default {{render({{model, el}}) {{\n"
                "const root = document.createElement('div');\nel.append(root);\n"
                f"const {{destroy}} = modules['{piece}.js'].default(root, model.get('facts'));\n"
                "return destroy;\n}};\n")
        _css = sheet()
        facts = traitlets.Dict().tag(sync=True)

    return Piece(facts=facts)


def adder(model=None):
    """Type a sum, see what the network says: of `model`, an addrnn.Adder, or the shipped default one."""
    return widget("beat", data.beat(model))


def training():
    """Train a network in the page."""
    return widget("learn", data.learn())


def machine():
    """The adder of 52 parameters, with sliders on its weights."""
    from addlab.article import pieces  # its measures need all of addlab.study

    return widget("machine", pieces.machine())
