"""A service manager's part of sd_listen_fds(3): `activate FD... -- PROGRAM...` passes them and becomes the program."""

import fcntl
import os
import sys

FIRST = 3


def main() -> None:
    dashes = sys.argv.index("--")
    kept = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1:dashes]]
    for index, fd in enumerate(kept):
        os.dup2(fd, FIRST + index)
    names = ":".join(["edge.socket"] * len(kept))
    passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(kept)), "LISTEN_FDNAMES": names}
    os.execve(sys.argv[dashes + 1], sys.argv[dashes + 1 :], {**os.environ, **passed})


if __name__ == "__main__":
    main()
