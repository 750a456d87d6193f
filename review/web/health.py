"""Probes and metrics, on a port of their own: machines ask here, without a sign-in, and no case is shown.

    /livez    200 while the event loop runs
    /readyz   200 once the table is recovered and partitions are held, and how many; 503 with `why` where
              Kafka is gone, or has taken a right or a topic away
    /metrics  Prometheus' text format

The pages' port answers none of them.
"""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from review.app import ReviewApp
from review.web.door import Door
from review.web.guard import SECURITY_HEADERS, json_response


def health_application(review: ReviewApp, door: Door) -> web.Application:
    """The application, behind `door`."""

    async def livez(_request: web.Request) -> web.Response:
        # Kafka is not asked, so that a broker's fault restarts no desk.
        return web.Response(text="alive\n")

    async def readyz(_request: web.Request) -> web.Response:
        held, of = review.held_partitions, review.cluster.partitions
        status = 200 if review.ready else 503
        why = {"why": review.fault} if review.fault else {}
        return json_response({"ready": review.ready, "partitions": held, "of": of} | why, status)

    async def metrics(_request: web.Request) -> web.Response:
        body = review.metrics.expose(review.present, ready=review.ready)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def dressed(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(SECURITY_HEADERS)

    application = web.Application(middlewares=[door.watch], client_max_size=0)
    application.on_response_prepare.append(dressed)
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    return application
