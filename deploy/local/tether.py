"""Ties a program to the process that started it: if that one dies, however, the program gets a signal.

Run as a script by path, before the program itself, which then takes this process over (same pid):

    python -I -S tether.py SIGNAL PARENT_PID USER PROGRAM [ARGUMENT …]

USER is `-`, or the name of the user to become first. The signal on the parent's death is Linux's
`PR_SET_PDEATHSIG`; it must be set after every change of user, which clears it, and it fires at the end of
the *thread* that made this process, so that thread has to live as long as the program (the supervisor sees
to that). Elsewhere than on Linux the program simply runs; the next start ends what was left behind.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the user, set the signal, and turn into the program; exit 1 if the parent is already gone."""
    death_signal, parent, user, *program = arguments
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606  (no shell is meant)


if __name__ == "__main__":
    main(sys.argv[1:])
