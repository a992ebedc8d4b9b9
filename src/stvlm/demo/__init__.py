"""The demo Space: clips of visitors and of the simulated world, asked about, measured, browsed and scored."""
