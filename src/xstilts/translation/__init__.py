"""Rows of a task in another language: an engine translates their texts, the rows are put together again and written."""
