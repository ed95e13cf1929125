"""Reports: one self-contained page, and one model card, from a run folder alone.

``write_report(run)`` makes ``RUN/report.html``; ``model_card(artifact, record)`` is the text of
``RUN/artifact/README.md``.  Nothing here knows a model: what the record does not say is not shown.
"""

from edgewise.report.card import model_card as model_card
from edgewise.report.write import PAGES as PAGES
from edgewise.report.write import write_report as write_report
