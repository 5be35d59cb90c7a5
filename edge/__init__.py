"""Edge: an on-premises DNS and routing agent for a two-node EC2 file server behind AWS Direct Connect."""

__version__ = "0.1.0"
