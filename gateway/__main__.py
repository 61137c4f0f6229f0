"""Composition root of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import uvloop
from aiokafka.errors import KafkaError

from gateway.app import Parts, build
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.stream import TOPICS, Hints
from gateway.uploads import Quarantine
from shared.host import calm_collector, serve_http, stop_signals
from shared.messaging.clock import TICK_TOPIC, BusinessClock
from shared.messaging.kafka import watch_broker
from shared.messaging.outcomes import CommandPost, follow
from shared.security.tokens import TokenVerifier
from shared.telemetry import logging, tracing
from shared.telemetry.health import Health

log = logging.logger(__name__)


async def serve(settings: GatewaySettings) -> None:
    """Serve until a stop signal; alive at once, ready when the broker's outcomes are being read."""
    calm_collector()
    tracing.configure("gateway", settings.otel_exporter_otlp_endpoint)
    stop = stop_signals()
    health = Health()
    health.not_ready("broker", "starting")
    health.not_ready("outcomes", "starting")
    post = CommandPost(settings, health, waiting_max=settings.waiting_max)
    parts = Parts(
        settings=settings,
        health=health,
        clock=BusinessClock(settings.business_time),
        verifier=TokenVerifier(settings.jwks_url),
        post=post,
        services=Services(settings.service_urls),
        hints=Hints(settings),
        quarantine=Quarantine(settings),
    )
    await parts.services.open()
    server, http = await serve_http(build(parts), settings.http_host, settings.http_port)
    http.add_done_callback(lambda _: stop.set())
    work = asyncio.create_task(_work(parts), name="work")
    work.add_done_callback(lambda _: stop.set())
    await stop.wait()
    log.info("stopping")
    parts.hints.close()
    server.should_exit = True
    await http
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    await post.stop()
    await parts.services.close()


async def _work(parts: Parts) -> None:
    settings, health = parts.settings, parts.health
    while True:
        try:
            await parts.post.start()
        except (KafkaError, OSError, TimeoutError) as error:
            health.not_ready("broker", f"{type(error).__name__}, trying again")
            log.warning("waiting-for-broker", error=type(error).__name__)
            await parts.post.stop()
            await asyncio.sleep(1)
        else:
            break
    health.ready("broker")
    readers = [
        watch_broker(parts.post.client, health),
        follow(
            settings,
            health,
            ("command.outcomes",),
            lambda record: parts.post.settle(record.key, record.value),
            from_end=True,
            reads_on=True,
            name="outcomes",
            wait_ms=min(100, settings.kafka_fetch_max_wait_ms),
        ),
        parts.quarantine.sweeping(health),
        follow(settings, health, TOPICS, parts.hints.take, from_end=True, name="hints", wait_ms=500),
    ]
    if settings.business_time == "message":
        readers.append(
            follow(
                settings,
                health,
                (TICK_TOPIC,),
                lambda record: parts.clock.tick(
                    record.value, datetime.fromtimestamp(record.timestamp / 1000, UTC)
                ),
                from_end=False,
                name="clock",
                wait_ms=500,
            )
        )
    await asyncio.gather(*readers)


def main() -> None:
    """Serve with settings from the environment."""
    settings = GatewaySettings()
    logging.configure(service="gateway", instance=settings.instance, level=settings.log_level)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
