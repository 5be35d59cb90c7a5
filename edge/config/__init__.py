"""Configuration: the file, its models, and the time to fail over that it yields."""

from edge.config.budget import Term as Term
from edge.config.budget import detection_s as detection_s
from edge.config.budget import detection_text as detection_text
from edge.config.budget import failover_budget as failover_budget
from edge.config.budget import fastest_probe as fastest_probe
from edge.config.budget import switch_budget as switch_budget
from edge.config.cautions import cautions as cautions
from edge.config.models import Config as Config
from edge.config.models import Guest as Guest
from edge.config.models import Node as Node
from edge.config.models import Peer as Peer
from edge.config.models import Probe as Probe
from edge.config.models import Service as Service
from edge.config.reading import load as load
from edge.config.values import Answer as Answer
from edge.config.values import Deny as Deny
from edge.config.values import Endpoint as Endpoint
from edge.config.values import FenceKind as FenceKind
from edge.config.values import GuestOs as GuestOs
from edge.config.values import ProbeKind as ProbeKind
from edge.config.values import Role as Role
from edge.config.values import StoreKind as StoreKind
from edge.config.values import Topology as Topology
