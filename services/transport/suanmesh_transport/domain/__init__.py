"""The rules of datasets, replicas and transfers: values in, values out."""
