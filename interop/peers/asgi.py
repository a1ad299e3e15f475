"""The peer server (interop/README.md, "Peer servers") on python-socketio's AsyncServer, under uvicorn.

.venv/bin/python peers/asgi.py --port 0 --ticks
"""

import asyncio
import socket

import contract
import socketio
import uvicorn

chosen = contract.options()
sio = socketio.AsyncServer(async_mode="asgi", **contract.settings(chosen))


def serve(namespace):
    on = lambda handler: sio.on(handler.__name__, handler, namespace=namespace)

    async def connect(sid, environ, auth=None):
        contract.admit(namespace, auth)
        if namespace == "/late":
            await sio.emit("early", 1, to=sid, namespace=namespace)

    async def echo(sid, *args):
        await sio.emit("echo", args, to=sid, namespace=namespace)

    async def ack(sid, *args):
        return args

    async def ask(sid, *args):
        async def answered(*answer):
            await sio.emit("answered", answer, to=sid, namespace=namespace)

        await sio.emit("question", args, to=sid, namespace=namespace, callback=answered)

    async def burst(sid, n):
        for i in range(n):
            await sio.emit("tick", i, to=sid, namespace=namespace)

    async def kick(sid):
        await sio.disconnect(sid, namespace=namespace)

    async def close(sid):
        await sio.eio.disconnect(sio.manager.eio_sid_from_sid(sid, namespace))

    async def log(sid, uid, payload=None):
        contract.record(chosen, uid, payload)
        return uid

    for handler in (connect, echo, ack, ask, burst, kick, close, log):
        on(handler)


async def main():
    for namespace in contract.NAMESPACES:
        serve(namespace)
    # With the protocol named, as uvicorn's own has it: else asyncio leaves Nagle's delay on, and each answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", chosen.port))
    listener.listen(128)

    app = socketio.ASGIApp(sio, socketio_path=chosen.path.strip("/"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    print("listening", listener.getsockname()[1], flush=True)
    n = 0
    while chosen.ticks and not serving.done():
        await sio.emit("tick", n)
        n += 1
        await asyncio.sleep(0.1)
    await serving


asyncio.run(main())
