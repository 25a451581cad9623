"""Judging: records and an engine in, judged pairs out, as a stream that is journalled, resumed, and shared out over
processes."""
