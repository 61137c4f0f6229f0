"""Which log it is that a consumer reads: the cluster's id, and the id that each topic got when it was made.

An offset means something only together with these: a topic that is made anew begins at 0 again. aiokafka
does not know the version of the metadata request that tells topic ids, so its wire form stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from shared.messaging.fences import Log

_NO_ID = UUID(int=0)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc] # aiokafka is untyped here
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIds(Request[_MetadataRequest]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest]) -> _MetadataRequest:
        return request_struct_class([(_NO_ID.bytes, topic, {}) for topic in self._topics], False, False, {})


async def identify(client: Any, topics: Sequence[str]) -> Log:
    """Ask through an aiokafka client. A broker that knows no topic ids (Tansu) gives zeros.

    Raises KafkaError when the broker is away or does not know a topic.
    """
    request = _TopicIds(sorted(topics))
    try:
        answer = await client.send(client.get_random_node(), request)
    except NotImplementedError:  # aiokafka's word for a version that the broker does not have
        return Log("", dict.fromkeys(topics, _NO_ID))
    found: dict[str, UUID] = {}
    for error_code, topic, topic_id, *_ in answer.topics:
        if error_code:
            error: type[KafkaError] = for_code(error_code)
            raise error(topic)
        found[topic] = UUID(bytes=topic_id)
    if missing := set(topics) - set(found):
        raise UnknownTopicOrPartitionError(", ".join(sorted(missing)))
    return Log(answer.cluster_id or "", found)
