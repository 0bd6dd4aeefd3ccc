"""Moving pictures: read, tracked, drawn and written."""
