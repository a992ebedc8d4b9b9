"""General instruction data that STKit is blended with, from those data sets' own files."""
