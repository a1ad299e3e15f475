"""A Python node of a cluster: python-socketio with a manager for Redis or RabbitMQ, driven by its clients' events as the conformance
server is.

.venv/bin/python cluster/node.py --redis redis://127.0.0.1:6379 --manager async|sync --port 0
.venv/bin/python cluster/node.py --amqp amqp://guest:guest@127.0.0.1/%2f --manager aio_pika|kombu --port 0
"""

import argparse
import asyncio
import logging
import socket
import threading

import socketio

parser = argparse.ArgumentParser()
parser.add_argument("--redis")
parser.add_argument("--amqp")
parser.add_argument("--manager", choices=["async", "sync", "aio_pika", "kombu"])
parser.add_argument("--port", type=int, default=0)
chosen = parser.parse_args()

# A lost connection is told by each emit, for as long as it lasts.
logging.disable(logging.CRITICAL)

listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", chosen.port))
listener.listen(64)


def said():
    print(f"listening {listener.getsockname()[1]}", flush=True)


def register_async(sio, namespace):
    def on(event):
        return sio.on(event, namespace=namespace)

    emit = lambda event, payload, **to: sio.emit(event, payload, namespace=namespace, **to)

    @on("join")
    async def join(sid, room):
        await sio.enter_room(sid, room, namespace=namespace)

    @on("leave")
    async def leave(sid, room):
        await sio.leave_room(sid, room, namespace=namespace)

    @on("bcast-all")
    async def everybody(sid, event, *payload):
        await emit(event, payload)

    @on("bcast")
    async def bcast(sid, room, *payload):
        await emit("bcast", payload, room=room)

    @on("bcast-except")
    async def bcast_except(sid, room, skip, *payload):
        await emit("bcast", payload, room=room, skip_sid=skip)

    @on("to")
    async def to(sid, other, event, *payload):
        await emit(event, payload, to=other)

    @on("ask")
    async def ask(sid, other, payload, ms):
        try:
            return [await sio.call("ask", payload, to=other, namespace=namespace, timeout=ms / 1000)]
        except socketio.exceptions.TimeoutError:
            return []

    @on("move")
    async def move(sid, other, room):
        await sio.enter_room(other, room, namespace=namespace)

    @on("kick")
    async def kick(sid, other, close=False):
        await sio.disconnect(other, namespace=namespace)

    @on("close-room")
    async def close_room(sid, room):
        await sio.close_room(room, namespace=namespace)


def register_sync(sio, namespace):
    def on(event):
        return sio.on(event, namespace=namespace)

    emit = lambda event, payload, **to: sio.emit(event, payload, namespace=namespace, **to)
    on("join")(lambda sid, room: sio.enter_room(sid, room, namespace=namespace))
    on("leave")(lambda sid, room: sio.leave_room(sid, room, namespace=namespace))
    on("bcast-all")(lambda sid, event, *payload: emit(event, payload))
    on("bcast")(lambda sid, room, *payload: emit("bcast", payload, room=room))
    on("bcast-except")(lambda sid, room, skip, *payload: emit("bcast", payload, room=room, skip_sid=skip))
    on("to")(lambda sid, other, event, *payload: emit(event, payload, to=other))
    on("move")(lambda sid, other, room: sio.enter_room(other, room, namespace=namespace))
    on("kick")(lambda sid, other, close=False: sio.disconnect(other, namespace=namespace))
    on("close-room")(lambda sid, room: sio.close_room(room, namespace=namespace))

    @on("ask")
    def ask(sid, other, payload, ms):
        try:
            return [sio.call("ask", payload, to=other, namespace=namespace, timeout=ms / 1000)]
        except socketio.exceptions.TimeoutError:
            return []


async def serve_async():
    import uvicorn

    if chosen.amqp:
        manager = socketio.AsyncAioPikaManager(chosen.amqp)
    else:
        manager = socketio.AsyncRedisManager(chosen.redis)
    sio = socketio.AsyncServer(async_mode="asgi", client_manager=manager)
    for namespace in ("/", "/custom"):
        register_async(sio, namespace)
    server = uvicorn.Server(uvicorn.Config(socketio.ASGIApp(sio), log_level="critical"))
    said()
    await server.serve(sockets=[listener])


def serve_sync():
    from werkzeug.serving import make_server

    manager = socketio.KombuManager(chosen.amqp) if chosen.amqp else socketio.RedisManager(chosen.redis)
    sio = socketio.Server(async_mode="threading", client_manager=manager)
    for namespace in ("/", "/custom"):
        register_sync(sio, namespace)
    server = make_server("127.0.0.1", 0, socketio.WSGIApp(sio), threaded=True, fd=listener.fileno())
    said()
    server.serve_forever()


if chosen.manager in ("async", "aio_pika"):
    asyncio.run(serve_async())
else:
    threading.stack_size(256 * 1024)
    serve_sync()
