"""The network orchestrator: which path, with which guarantee."""
