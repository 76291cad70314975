"""What a task ends with whose command could not be started. Nothing is imported: every shim has it."""

COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE = "COMMAND_NOT_FOUND", "COMMAND_NOT_EXECUTABLE"
STATUS_NOT_FOUND, STATUS_NOT_EXECUTABLE = 127, 126
UNSTARTABLE = {STATUS_NOT_FOUND: COMMAND_NOT_FOUND, STATUS_NOT_EXECUTABLE: COMMAND_NOT_EXECUTABLE}
"""The failure by the status, which is that of every shell."""
