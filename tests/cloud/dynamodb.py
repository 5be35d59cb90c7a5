"""DynamoDB as its developer guide describes it, where moto differs.

moto's conditional writes read, compare and write as its threads please: two can succeed where one may. The server's one
lock around every call mends that (server.Cloud). Here: a read that does not ask for consistency may show the past.
"""

from __future__ import annotations

import copy
import time
from typing import ClassVar, cast

from moto.core.common_types import TYPE_RESPONSE
from moto.dynamodb.responses import DynamoHandler

from .past import Past, Picture, shown

READS = {"GetItem", "BatchGetItem", "Query", "Scan"}
WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}


class MendedDynamoDB(DynamoHandler):
    past: ClassVar[Past]
    stale = False

    # "When you issue eventually consistent reads to a DynamoDB table or an index, the responses may not reflect the
    # results of a recently completed write operation. [...] Read operations such as GetItem, Query, and Scan provide an
    # optional ConsistentRead parameter. If you set ConsistentRead to true, DynamoDB returns a response with the most
    # up-to-date data." (DynamoDB developer guide, Read consistency)
    def call_action(self) -> TYPE_RESPONSE:
        if self._get_action() in WRITES:
            return self._changing()
        past = self.past.last if self.stale else self.past.unseen()
        if not past or self._get_action() not in READS or self._consistent():
            return cast("TYPE_RESPONSE", super().call_action())
        with shown(past):
            return cast("TYPE_RESPONSE", super().call_action())

    def _consistent(self) -> bool:
        asked = [self.params, *self.params.get("RequestItems", {}).values()]
        return any(each.get("ConsistentRead") for each in asked)

    def _changing(self) -> TYPE_RESPONSE:
        tables = self.dynamodb_backend.tables.values()
        before: Picture = [(table, "items", copy.deepcopy(table.items)) for table in tables]
        made_s = time.monotonic()
        answer = cast("TYPE_RESPONSE", super().call_action())
        if answer[0] < 300:
            self.past.note(made_s, before)
        return answer


def mend(past: Past) -> type[DynamoHandler]:
    return type("MendedDynamoDB", (MendedDynamoDB,), {"past": past})
