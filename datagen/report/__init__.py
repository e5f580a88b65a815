"""What a run made and how it went: one self-contained page, a few lines, or JSON."""

from datagen.report.page import write_report
from datagen.report.text import summary, summary_json

__all__ = ["summary", "summary_json", "write_report"]
