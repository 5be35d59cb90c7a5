"""The log on stderr: text on a terminal, one JSON object a line otherwise."""

import json
import logging
import sys
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = getattr(record, "line", None)
        facts = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "kind": line.kind if line else None,
            "service": line.service if line else None,
            "epoch": line.epoch if line else None,
            "who": line.who if line else None,
            "fault": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({key: value for key, value in facts.items() if value is not None})


def set_up() -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-8s %(message)s", datefmt="%H:%M:%S")
    handler.setFormatter(text if sys.stderr.isatty() else JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
