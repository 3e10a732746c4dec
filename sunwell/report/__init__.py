"""What a run did and cost, for programs and for people; and what it would cost."""

from sunwell.report.forecast import Forecast, forecast
from sunwell.report.page.sent_messages import request_of, sent_requests
from sunwell.report.summary import Comparison, compare_with_smart_model, summarize, summary_text

__all__ = [
    "Comparison",
    "Forecast",
    "compare_with_smart_model",
    "forecast",
    "request_of",
    "sent_requests",
    "summarize",
    "summary_text",
]
