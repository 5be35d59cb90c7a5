"""A file-server stand-in: a real listener that answers SMB2's NEGOTIATE as a file server does, and nothing else.

`python -m tests.demo.stand_in ADDRESS PORT`; it ends with its standard input, so it never outlives who started it.
"""

import socketserver
import struct
import sys
import threading

_HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")  # [MS-SMB2] 2.2.1.2
_RESPONSE = struct.Struct("<HHHH16sIIIIQQHHI")  # [MS-SMB2] 2.2.4
_SERVER_TO_REDIR = 1
_DIALECT = 0x0302


def negotiated() -> bytes:
    header = _HEADER.pack(b"\xfeSMB", 64, 0, 0, 0, 1, _SERVER_TO_REDIR, 0, 0, 0, 0, 0, bytes(16))
    body = _RESPONSE.pack(65, 1, _DIALECT, 0, bytes(16), 0, 65536, 65536, 65536, 0, 0, 128, 0, 0)
    return (len(header) + len(body)).to_bytes(4, "big") + header + body


class Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        length = int.from_bytes(self.rfile.read(4), "big")
        if self.rfile.read(length)[:4] == b"\xfeSMB":
            self.wfile.write(negotiated())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    address, port = sys.argv[1], int(sys.argv[2])
    try:
        server = Server((address, port), Session)
    except OSError as error:
        sys.exit(f"{address} port {port}: {error.strerror}")
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
