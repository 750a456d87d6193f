"""Reads rows of a file: messages or labelled examples, in JSONL, CSV, TSV and Parquet.

A value is read exactly, or the file is refused with the row, the field and a remedy. Nothing is guessed where
a wrong guess could lose words: an extra cell, a quote that never closes and a repeated column name are
refused. No error quotes a cell, because it may be somebody's message.
"""

from export.rows.field import typed_rows
from export.rows.file import Tell, read_rows
from export.rows.row import NoTextColumnError, Row, Separator, refuse

__all__ = ["NoTextColumnError", "Row", "Separator", "Tell", "read_rows", "refuse", "typed_rows"]
