"""All that addrnn.py stands on (engine), and that stands on it (study, certify)."""

from addlab.engine import terminal

terminal.begin()
