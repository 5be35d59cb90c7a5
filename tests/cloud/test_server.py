"""What the server adds to moto that no single call shows."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, cast

from moto.core.request import Request
from moto.core.responses import BaseResponse

from .server import Cloud, build

CALLERS = 8


class Counting:
    """A service whose answer is how many callers were in it at once."""

    params: ClassVar[dict[str, Any]] = {}
    inside = 0

    def setup_class(self, request: Request) -> None:
        """Nothing to parse."""

    def _get_action(self) -> str:
        return "Count"

    def call_action(self) -> tuple[int, dict[str, str], str]:
        Counting.inside += 1
        time.sleep(0.01)
        seen, Counting.inside = Counting.inside, Counting.inside - 1
        return 200, {}, str(seen)


def test_calls_take_effect_one_after_the_other() -> None:
    cloud = build(stock=False)
    cloud.services["counting"] = cast("type[BaseResponse]", Counting)
    together = threading.Barrier(CALLERS)

    def call(cloud: Cloud) -> Any:
        signature = "AWS4-HMAC-SHA256 Credential=KEY/20250101/ap-northeast-1/counting/aws4_request"
        request = Request.from_primitives("POST", "http://127.0.0.1/", {"Authorization": signature})
        together.wait()
        return cloud.handle(request)

    with ThreadPoolExecutor(CALLERS) as callers:
        answers = list(callers.map(call, [cloud] * CALLERS))
    assert answers == [(200, {}, b"1")] * CALLERS
