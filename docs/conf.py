"""The documentation site: `nox -s docs` builds it, with warnings as errors, into build/site.

Nothing is fetched while it is built or looked at. The pages of the reference, the gallery and the
project's own files are written by `site/` into docs/api, docs/gallery and docs/project first.
"""

import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "site"), str(DOCS.parent / "tests")]

import api_pages
import docstrings
import gallery_pages
import links

import fastnn

project = "fastnn"
author = "The fastnn authors"
copyright = "The fastnn authors"
version = release = fastnn.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["site"]
root_doc = "index"
suppress_warnings = ["myst.header"]  # a list of files may begin with any heading

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_class_signature = "mixed"
autodoc_member_order = "alphabetical"
default_role = "literal"
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"fastnn {release}"
html_copy_source = False
html_show_sphinx = False
html_static_path = ["pictures"]
pygments_style = "friendly"
html_css_files = ["site.css"]


def setup(app: Any) -> None:
    app.add_config_value("gallery_runs", True, "html")  # -D gallery_runs=0 leaves programs out
    app.connect("config-inited", _written)
    app.connect("source-read", links.rewritten)
    app.connect("autodoc-process-docstring", docstrings.as_rst, priority=100)  # before napoleon


def _written(app: Any, config: Any) -> None:
    api_pages.write(DOCS / "api")
    gallery_pages.write(DOCS / "gallery", runs=bool(int(config.gallery_runs)))
    links.write(DOCS / "project")
