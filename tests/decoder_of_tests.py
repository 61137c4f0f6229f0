"""Stands where the decoder of photos stands: dies by a signal in mid-answer, or tells what environment it has."""

import json
import os
import signal
import sys

if __name__ == "__main__":
    if sys.stdin.buffer.read() == b"environment":
        seen = set(os.environ) - {"LC_CTYPE"}  # the interpreter sets this one itself
        sys.stdout.write(json.dumps({"width": len(seen), "height": 0, "sizes": [0, 0]}) + "\n")
    else:
        sys.stdout.write('{"width": 1')
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGSEGV)
