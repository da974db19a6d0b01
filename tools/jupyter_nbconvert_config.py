"""What `jupyter nbconvert` of this environment reads: a figure keeps the text that says what it shows.

Its own template writes an SVG as <img> without `alt`, and then warns of it. The Makefile copies this file there.
"""

from base64 import b64encode
from html import escape

from nbconvert.preprocessors import Preprocessor


class Described(Preprocessor):
    """Each SVG, for HTML, as a picture with its text."""

    def preprocess_cell(self, cell, resources, index):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/svg+xml" in data and "text/html" not in data:
                svg = b64encode(data["image/svg+xml"].encode()).decode()
                text = escape(output.metadata.get("alt", data.get("text/plain", "")))
                data["text/html"] = f'<img alt="{text}" src="data:image/svg+xml;base64,{svg}">'
        return cell, resources


c = get_config()  # noqa: F821 (traitlets gives it)
c.HTMLExporter.preprocessors = [Described]
