"""Fine-tunes a video VLM on a built dataset."""
