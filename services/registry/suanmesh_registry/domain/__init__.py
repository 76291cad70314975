"""The rules of the registry: values in, values out."""
