"""Labels from plain video: geometry, tracks, scale, lifting and smoothing (ST-VLM, section 3.3)."""
