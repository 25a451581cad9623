"""The HTML report: one self-contained page from the output folder of a recipe.

page.py      reads the folder, renders the page, keeps its content security policy
summary.py   the words and figures at the top, and the facts at the end
charts.py    geometry of the small charts; curves.py: which metrics share one
gallery.py   judged pairs as cards
templates/   page, charts and cards (autoescaped), and the style sheet
"""

from urt_core.bench.report.page import read_beside, read_evaluations, write_report
from urt_core.bench.report.summary import JudgedData

__all__ = ["JudgedData", "read_beside", "read_evaluations", "write_report"]
