"""Tasks that are handed in batches to a scheduler of the site's own, whichever it is."""
