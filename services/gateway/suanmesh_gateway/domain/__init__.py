"""The rules of the trace store: values in, values out."""
