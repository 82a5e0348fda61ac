"""Reports: an evaluation or a comparison as one HTML page, Markdown or JSON, all with the same content."""

from flowmint.report.picture import Picture
from flowmint.report.summarize import summarize
from flowmint.report.write import check_report, write_report

__all__ = ["Picture", "check_report", "summarize", "write_report"]
