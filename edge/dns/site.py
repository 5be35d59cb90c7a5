"""Everything that answers are made from: all the zones, who we say we are, and the cookies. Pure, never changed.

At a switch a new site stands on the grounds of the one before, which are most of it.

Which zone answers (RFC 1034 section 4.3.2): the one whose apex is the longest end of the name, but for DS at an apex,
which the zone above it answers where that is ours too (RFC 4035 section 3.1.4.1).
"""

from collections.abc import Generator, Iterator, Sequence

from edge.dns.cookies import Jar
from edge.dns.guard import Policy
from edge.dns.message import CH, Name, Qtype
from edge.dns.zone import Found, Ground, Outcome, Rrset, Tree, Zone, parse_name, text_rdata

AMPLIFICATION_MIN = 2.0  # below, a cookie's answer to its first question would not fit
BITE_ALIASES = 4
ALIASES = 8  # CNAMEs in a row, fewer than any forwarder follows (Unbound 11, BIND 16)
OUTSIDE = Found(Outcome.OUTSIDE)


class Grounds:
    """What no switch changes. ValueError where zones or policy can't be right."""

    @classmethod
    def in_bites(cls, zones: Sequence[Zone], policy: Policy) -> Generator[None, None, "Grounds"]:
        grounds = cls.__new__(cls)
        yield from grounds.building(zones, policy)
        return grounds

    def building(self, zones: Sequence[Zone], policy: Policy) -> Iterator[None]:
        if policy.amplification < AMPLIFICATION_MIN:
            raise ValueError(f"amplification {policy.amplification} is below {AMPLIFICATION_MIN}")
        self.policy = policy
        self.jar = Jar(policy.cookie_secrets) if policy.cookie_secrets else None
        self.chaos = dict(_chaos(policy))
        self._lasting = _lasting(zones, policy)
        yield
        self.by_apex = yield from _grounds(zones)
        self.depths = sorted({len(apex) for apex in self.by_apex}, reverse=True)

    def carry(self, zones: Sequence[Zone], policy: Policy) -> bool:
        return self._lasting == _lasting(zones, policy)


class Site:
    """ValueError where zones or policy can't be right."""

    def __init__(self, zones: Sequence[Zone], policy: Policy) -> None:
        for _ in self.building(zones, policy):
            pass

    @classmethod
    def in_bites(
        cls, zones: Sequence[Zone], policy: Policy, before: "Site | None" = None
    ) -> Generator[None, None, "Site"]:
        """`before`: whose grounds may do."""
        site = cls.__new__(cls)
        yield from site.building(zones, policy, before)
        return site

    def building(self, zones: Sequence[Zone], policy: Policy, before: "Site | None" = None) -> Iterator[None]:
        kept = before.grounds if before and before.grounds.carry(zones, policy) else None
        self.grounds: Grounds = kept or (yield from Grounds.in_bites(zones, policy))
        self.policy, self.jar, self.nsid = policy, self.grounds.jar, policy.identity.encode()
        yield
        self._trees = dict[Name, Tree]()
        for ground, zone in zip(self.grounds.by_apex.values(), zones, strict=True):
            self._trees[ground.apex] = yield from Tree.in_bites(ground, zone)
            yield
        if kept is None:
            yield from self._checking_aliases()

    def names(self) -> Iterator[Name]:
        for tree in self._trees.values():
            yield from tree.names()

    def is_apex(self, name: Name) -> bool:
        return name in self._trees

    def find(self, name: Name, qtype: int) -> Found:
        """An alias is followed while it stays in our zones; what its end says, is said (RFC 6604 section 3)."""
        found, aliases = self._find(name, qtype), tuple[Rrset, ...]()
        while _alias(found, qtype) and len(aliases) <= ALIASES:
            aliases += found.answer
            found = self._find(found.answer[0].rdata[0].names[0], qtype)
        if aliases and found.outcome is Outcome.OUTSIDE:
            return Found(Outcome.POSITIVE, aliases)
        return found._replace(answer=aliases + found.answer) if aliases else found

    def chaos(self, name: Name, qtype: int) -> Found:
        """Class CH, where servers tell of themselves (RFC 4892); what is switched off is outside."""
        if (rrset := self.grounds.chaos.get(name)) is None:
            return OUTSIDE
        return Found(Outcome.POSITIVE, (rrset,)) if qtype in {Qtype.TXT, Qtype.ANY} else Found(Outcome.NODATA)

    def _checking_aliases(self) -> Iterator[None]:
        names = (name for tree in self._trees.values() for name in tree.aliases())
        for number, name in enumerate(names):
            found = self.find(name, Qtype.A)
            if sum(rrset.qtype is Qtype.CNAME for rrset in found.answer) > ALIASES:
                raise ValueError(f"aliases in a circle, or more than {ALIASES} in a row")
            if number % BITE_ALIASES == 0:
                yield

    def _find(self, name: Name, qtype: int) -> Found:
        above = 1 if qtype == Qtype.DS and name in self._trees and self._tree(name[1:]) else 0
        tree = self._tree(name[above:])
        return tree.find(name, qtype) if tree else OUTSIDE

    def _tree(self, name: Name) -> Tree | None:
        for depth in self.grounds.depths:
            if (tree := self._trees.get(name[-depth:])) is not None:
                return tree
        return None


def _lasting(zones: Sequence[Zone], policy: Policy) -> list[object]:
    return [policy, *(zone.lasting() for zone in zones)]


def _grounds(zones: Sequence[Zone]) -> Generator[None, None, dict[Name, Ground]]:
    apexes = [parse_name(zone.name) for zone in zones]
    if len(set(apexes)) != len(apexes) or not apexes:
        raise ValueError("no zone, or one twice")
    grounds = dict[Name, Ground]()
    for apex, zone in zip(apexes, zones, strict=True):
        grounds[apex] = yield from Ground.in_bites(zone, _inner(apex, apexes))
    return grounds


def _inner(apex: Name, apexes: Sequence[Name]) -> tuple[Name, ...]:
    return tuple(other for other in apexes if other != apex and other[-len(apex) :] == apex)


def _alias(found: Found, qtype: int) -> bool:
    return bool(found.answer) and found.answer[0].qtype is Qtype.CNAME and qtype not in {Qtype.CNAME, Qtype.ANY}


def _chaos(policy: Policy) -> Iterator[tuple[Name, Rrset]]:
    """The names that BIND began, and their successors; with a TTL of 0, for what is behind an address may change."""
    told = {
        "version.bind": policy.version,
        "version.server": policy.version,
        "hostname.bind": policy.identity,
        "id.server": policy.identity,
    }
    for text, value in told.items():
        if value:
            name = parse_name(text)
            yield name, Rrset(name, Qtype.TXT, 0, (text_rdata(value),), CH)
