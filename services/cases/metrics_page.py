"""docs/metrics.md: the metric registry 指标登记册 of cases, and the activity rate of deputies beside it.

`python -m services.cases.metrics_page docs/metrics.md` writes it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from services.cases.metrics import METRICS, REASONS
from shared.measures import ACTIVITY


def document() -> str:
    """The whole page."""
    parts = [
        "# Metric registry 指标登记册",
        "Written from `services/cases/metrics.py` and `shared/measures.py` by `python -m services.cases.metrics_page docs/metrics.md`; change it there.",
        "",
        "Each case 督事 stands in exactly one place of a figure: it counts, it counts against, or it is left out",
        "for one of the reasons named. A figure is shown with its numerator, its denominator and how many were left",
        "out for which reason; where nothing is counted there is no rate, neither 0 nor 100 %.",
        "Closed 办结, solved 解决 and satisfied 满意 are three figures and never one.",
        "",
        "A case that was late once counts as late, though it was then transferred, returned, paused or reopened, whoever",
        "holds it now. Figures are told of cases as they stand: for now, or with `as_of` for a moment to come if nothing",
        "is done until then; for a past moment they are refused (`as-of-past`), since states of then are not kept. Staff",
        "are told those of their area.",
    ]
    for metric in METRICS:
        parts += [
            "",
            f"## {metric.title.en} {metric.title.zh}",
            f"`{metric.key}`",
            "",
            "| | | 中文 |",
            "|---|---|---|",
            f"| numerator 分子 | {metric.numerator.en} | {metric.numerator.zh} |",
            f"| denominator 分母 | {metric.denominator.en} | {metric.denominator.zh} |",
            *(
                f"| left out 不计入: `{reason}` | {REASONS[reason].en} | {REASONS[reason].zh} |"
                for reason in metric.exclusions
            ),
        ]
    parts += [
        "",
        f"## {ACTIVITY.title.en} {ACTIVITY.title.zh}",
        f"`{ACTIVITY.key}`",
        "",
        "By month, of the whole and of each place; `services/evaluation/activity.py` reckons it.",
        "",
        "| | | 中文 |",
        "|---|---|---|",
        f"| numerator 分子 | {ACTIVITY.numerator.en} | {ACTIVITY.numerator.zh} |",
        f"| denominator 分母 | {ACTIVITY.denominator.en} | {ACTIVITY.denominator.zh} |",
        *(
            f"| left out 不计入: `{reason}` | {one.en} | {one.zh} |"
            for reason, one in ACTIVITY.exclusions.items()
        ),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document(), "utf-8")
