"""Resource records behind a question, with the names compressed (RFC 1035 section 4.1.4). Pure.

A name, or its end, that has been written before is written as a pointer to that place. Places are kept as a tree that
grows from the root, so that a name of 127 labels costs no more than its length:

    (the place of what stands behind a label, the label) -> the label's own place        the root's place is 0
"""

from collections.abc import Iterable

from edge.dns.message import HEADER_BYTES, OPTION, RECORD, Name, Question, spelled
from edge.dns.zone import Rdata, Rrset

POINTER = 0xC000
POINTER_MAX = 0x3FFF  # 14 bits: nothing can point further


def encoded(question: Question, sections: Iterable[tuple[Rrset, ...]]) -> tuple[list[int], bytes]:
    """How many records each section has, and the records, as they stand behind a header and this question."""
    message = _Message(question)
    counts = [sum(map(message.add, section)) for section in sections]
    return counts, bytes(message.wire[HEADER_BYTES + len(question.wire) :])


class _Message:
    """`wire` begins where the message does. `_places`: see above."""

    def __init__(self, question: Question) -> None:
        self.wire = bytearray(HEADER_BYTES) + question.wire
        self._places: dict[tuple[int, bytes], int] = {}
        self._place(question.name, 0, len(self.wire) - OPTION.size - 1)

    def add(self, rrset: Rrset) -> int:
        """How many records it has."""
        for rdata in rrset.rdata:
            self._write(rrset.name)
            self.wire += RECORD.pack(rrset.qtype, rrset.rclass, rrset.ttl_s, len(rdata.rest))
            self._add(rdata)
        return len(rrset.rdata)

    def _add(self, rdata: Rdata) -> None:
        start = len(self.wire)
        for name in rdata.names:
            self._write(name)
        self.wire += rdata.rest
        if rdata.names:
            self.wire[start - 2 : start] = (len(self.wire) - start).to_bytes(2)

    def _write(self, name: Name) -> None:
        """Spells what stands before the longest end of the name that has a place, and points to that."""
        place, count = 0, len(name)
        while count and (found := self._places.get((place, name[count - 1]))):
            place, count = found, count - 1
        if count:
            self.wire += spelled(name[:count])
            self._place(name[:count], place, len(self.wire))
        self.wire += (POINTER | place).to_bytes(2) if place else b"\0"

    def _place(self, labels: Name, behind: int, end: int) -> None:
        """Remembers labels that were written up to `end`, before what stands, or is pointed to, at `behind`."""
        for label in reversed(labels):
            end -= len(label) + 1
            if end <= POINTER_MAX:
                self._places[behind, label] = end
            behind = end
