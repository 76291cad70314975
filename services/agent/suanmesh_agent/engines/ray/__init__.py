"""Tasks on a site's own Ray cluster."""
