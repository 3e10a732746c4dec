"""What a run did and cost, for programs and for people; and what it would cost."""

from sunwell.report.forecast import Forecast, forecast
from sunwell.report.summary import Comparison, compare_with_smart_model, summarize, summary_text

__all__ = [
    "Comparison",
    "Forecast",
    "compare_with_smart_model",
    "forecast",
    "summarize",
    "summary_text",
]
