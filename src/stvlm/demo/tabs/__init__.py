"""The pages of the demo, one module each; only these import gradio."""
