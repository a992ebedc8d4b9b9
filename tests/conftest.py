"""What every test relies on."""

import signal

# Started in the background, a shell's jobs ignore Ctrl-C and pass that on; the programs under test must not inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
