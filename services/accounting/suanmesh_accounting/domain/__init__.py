"""The rules of accounting: plain functions over values."""
