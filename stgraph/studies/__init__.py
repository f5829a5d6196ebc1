"""Studies: rows × seeds over runs, and tables and pages of what they reached.

A study is a YAML file of rows, each a configuration of ``stgraph fit`` with changes, and of seeds.
Each row and seed is an ordinary run in a process of its own. What it reached is a file of JSON, and
the table is made of these files.

It is not imported with the library: it needs Lightning, of the extra ``train``.
"""

from stgraph.studies.checking import all_runs
from stgraph.studies.collecting import collected
from stgraph.studies.file import HeldOut, Row, Study, read_study
from stgraph.studies.merging import changed
from stgraph.studies.pages import page
from stgraph.studies.plan import Run
from stgraph.studies.running import Outcome, carry_out
from stgraph.studies.share import Share
from stgraph.studies.statistics import Mean, Paired, holm, mcnemar, mean_of, paired
from stgraph.studies.summary import Line, gathered, lines
from stgraph.studies.table import markdown

__all__ = [
    "HeldOut",
    "Line",
    "Mean",
    "Outcome",
    "Paired",
    "Row",
    "Run",
    "Share",
    "Study",
    "all_runs",
    "carry_out",
    "changed",
    "collected",
    "gathered",
    "holm",
    "lines",
    "markdown",
    "mcnemar",
    "mean_of",
    "page",
    "paired",
    "read_study",
]
