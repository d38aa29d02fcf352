"""What did each version cost: one page that needs nothing else, light or dark as its reader's system is?

Comes in: a report. Goes out: HTML text, in the way of the report of a run. No I/O but for templates that lie in this
package and in perfgate.report. Everything of a report is escaped by the template; a policy in the page lets no script
run, and nothing be fetched.
"""

from perfgate.history.drawings import line_drawing
from perfgate.history.metrics import DRAWN
from perfgate.history.table import (
    Report,
    made_words,
    note_words,
    shortened,
    step_rows,
    step_words,
    version_rows,
)
from perfgate.report.page_template import page_environment


def page(report: Report) -> str:
    """The page: a figure for each drawn metric that was measured, then everything as tables."""
    environment = page_environment("perfgate.history")
    anchor = report.conditions.anchor
    of_metric = {line.metric: line for line in report.lines}
    drawn = [of_metric[metric] for metric in DRAWN if metric in of_metric]
    # All figures have the same versions, so that one is read beside the other.
    order = [name for name in report.order if any(line.of(name) for line in drawn)]
    versions, steps = version_rows(report), step_rows(report)
    return environment.get_template("history.html.jinja").render(
        anchor=anchor,
        made=made_words(report),
        command=report.command,
        drawings=[line_drawing(line, order, anchor, f"m{number}") for number, line in enumerate(drawn, 1)],
        steps={"said": step_words(report), "columns": steps[0], "rows": steps[1]},
        versions={"columns": versions[0], "rows": versions[1]},
        notes={"said": note_words(report), "rows": report.notes},
        left_out=[(name, shortened(reason)) for name, reason in report.left_out],
    )
