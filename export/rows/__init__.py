"""Rows of a file: one reader for messages and for labelled examples, in JSONL, CSV, TSV and Parquet.

What a row says is read exactly or refused, with its row, its field and what to do. Nothing is guessed where
the guess could lose words: a cell too many, a quote that never closes, a column named twice are refused.
No error quotes a cell: it may be somebody's message.
"""

from export.rows.field import typed_rows
from export.rows.file import Tell, read_rows
from export.rows.row import Row, Separator

__all__ = ["Row", "Separator", "Tell", "read_rows", "typed_rows"]
