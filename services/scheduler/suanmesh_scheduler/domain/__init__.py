"""The rules of scheduling: plain functions over values."""
