"""Tasks as jobs of a site's own Slurm."""
