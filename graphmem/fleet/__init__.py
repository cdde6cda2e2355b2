"""Many models x many settings -> records, on processes of this machine or an existing Dask cluster."""
