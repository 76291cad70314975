"""The command line `suan`: what the SDK can do, for hands and scripts."""
