"""The batch room: the faces of very many photos, on one machine or a Ray cluster, as Parquet, each photo once."""
