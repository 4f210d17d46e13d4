"""Run a script where one host name means this machine: `mapped_host.py HOST PORT SCRIPT`.

What a line in the hosts file and a server on port 443 would do, for one process only.
"""

import runpy
import socket
import sys


def main(host: str, port: int, script: str) -> None:
    lookup = socket.getaddrinfo

    def mapped(name, service, *rest, **more):
        if name == host:
            return lookup("127.0.0.1", port, *rest, **more)
        return lookup(name, service, *rest, **more)

    socket.getaddrinfo = mapped
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
