"""Objects in a video: found by networks, or read from the files of those who have marked them (`files`)."""
