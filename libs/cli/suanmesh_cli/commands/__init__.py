"""What `suan` can be told: one module a group of nouns."""
