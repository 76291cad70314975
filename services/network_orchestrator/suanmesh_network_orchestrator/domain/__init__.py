"""The rules of links, paths and reservations: values in, values out."""
