"""Fine-tunes a video VLM on a built dataset."""

import logging

# peft imports it where it is installed, and on a CPU it warns that it lacks a faster kernel.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
