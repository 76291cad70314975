"""Answers as people read them: pure functions from messages to text and tables."""
