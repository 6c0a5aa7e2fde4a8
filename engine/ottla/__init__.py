"""Ottla: a stream-processing framework for Python."""
