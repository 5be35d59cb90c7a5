"""dnslib's own server with one fixed address: `python -m tests.bench.dnslib_server PORT`."""

import sys
from typing import Any

from dnslib import QTYPE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSLogger, DNSServer

from tests.conformance.servers import HOST
from tests.conformance.zone import FILES_ADDRESSES


class Fixed(BaseResolver):  # type: ignore[misc]
    def resolve(self, request: DNSRecord, handler: Any) -> DNSRecord:
        reply = request.reply()
        if request.q.qtype in {QTYPE.A, QTYPE.SOA}:
            reply.add_answer(RR(request.q.qname, QTYPE.A, ttl=0, rdata=A(FILES_ADDRESSES[0])))
        return reply


if __name__ == "__main__":
    DNSServer(Fixed(), port=int(sys.argv[1]), address=HOST, logger=DNSLogger("-request,-reply")).start()
