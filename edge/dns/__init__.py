"""The DNS side: authoritative answers from worker processes that outlive their controller."""
