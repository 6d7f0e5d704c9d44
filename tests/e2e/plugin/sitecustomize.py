"""Habits that tests switch on in every Python process of a command."""

import os
import sys

INTERNET = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}

if os.environ.get("TRIAL_WITHOUT_TORCH"):
    sys.modules["torch"] = None  # importing it fails

if log := os.environ.get("TRIAL_SOCKETS"):

    def note(event, arguments):
        """Write down who is called; a path is a socket of this machine."""
        place = arguments[-1] if event == "socket.connect" else arguments[:1]
        if event in INTERNET and not isinstance(place, str | bytes):
            with open(log, "a") as file:  # noqa: PTH123 the hook must not import
                file.write(f"{event} {place}\n")

    sys.addaudithook(note)
