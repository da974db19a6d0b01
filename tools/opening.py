"""The first page and what the PDF begins with, as Markdown: template/opening.md, filled with what is measured."""

import datetime
import re
import string
import subprocess
from html import escape
from pathlib import Path

from addlab import article
from addlab.article import pictures
from addlab.article.words import words
from addlab.study import claims, views
from addlab.study.experiments import gpu_runs
from tools.chapter import fence, image, on_paper

LINE = 690  # points: what a line of the PDF is as wide as, before it is scaled
ROOT = Path(__file__).resolve().parents[1]


def opening(chapters):
    """(first page as Markdown, headline): what notebooks lift up, the claims, the chapters."""
    stems = {chapter.stem for chapter in chapters}
    headline = next((text for chapter in chapters for text in chapter.lifted), "")
    facts = {name: article.facts(name) for name in article.PIECES}
    for row in facts["claims"]["claims"]:  # as the links below
        row["link"] = row["link"] if row["link"] and row["link"].partition(".")[0] in stems else None
    stills = article.stills() | {"claims": pictures.claims(facts["claims"])}
    places, programs = article.parts(facts, {name: still.html for name, still in stills.items()})
    pieces = {"claims_piece" if name == "claims" else name: raw(place) for name, place in places.items()}
    if chapters:
        for name, still, count in (("beat", stills["beat"], 1), ("fade", stills["fade"], 2),
                                   ("machine", pictures.boxes(), 1)):
            pieces[name] += "\n\n" + printed(name, still, count, chapters[0].folder)
    template = (ROOT / "tools" / "template" / "opening.md").read_text("utf-8")
    template = re.sub(r"\[([^\]]+)\]\((\w+)\.ipynb\)",  # a report of some chapters links to these alone
                      lambda link: link[0] if link[2] in stems else link[1], template)
    text = string.Template(template).substitute(
        pieces, **words(), programs=raw(article.style() + programs), runs=views.recorded_runs(),
        gpu_runs=len(gpu_runs()), date=date_of_records(), claims=claims_table(chapters))
    return text, headline


def raw(html):
    """HTML as a part of the pages alone."""
    return f":::: {{only=page}}\n{fence(html, '{=html}')}\n::::"


def printed(name, still, count, folder):
    """The first `count` panels of a piece's still as a figure of the PDF; one panel has its caption beside it."""
    svg, across, tall = pictures.printed(still, count)
    (folder / f"{name}.svg").write_text(svg, "utf-8")
    about = f'alt="{escape(f"{still.question} {still.caption}")}" points="{across}"'
    if across < LINE / 2:
        about += on_paper(f"{name}.svg", across, tall)
    return f"::: {{only=pdf}}\n{image(f'**{still.question}** {still.caption}', name, about)}\n:::"


def claims_table(chapters):
    """Each claim with its verdict, a dot for each seed, what was found, and where that is told."""
    rows = []
    for claim, entry in claims.entries_so_far().items():
        where = next((f" [Evidence]({c.stem}.ipynb#{claim}){{.where}}" for c in chapters
                      if f"::: {{#{claim} " in c.text), "")
        rows.append([claims.CLAIMS[claim], f"**{entry['verdict']}**", dots(entry.get("seeds", [])),
                     (entry.get("sentence") or entry.get("evidence", "")) + where])
    return claims.table(["The original says", "Verdict", "Seeds", "What we found"], rows).data if rows else ""


def dots(seeds):
    """The dots of a claim's seeds, with what they count for who hears the page."""
    label = f"{sum(seed is True for seed in seeds)} of {len(seeds)} seeds"
    return f'[{claims.dots(seeds)}]{{.dots role=img aria-label="{label}"}}' if seeds else ""


def date_of_records():
    """The day on which records last changed, as git has it, in words."""
    command = ["git", "log", "-1", "--format=%cs", "--", "records"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        day = datetime.date.fromisoformat(done.stdout.strip())
    except (OSError, ValueError):  # no git, or a copy without its history
        return "before this copy was made"
    return f"up to {day.day} {day:%B %Y}"
