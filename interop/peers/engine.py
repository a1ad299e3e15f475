"""The Engine.IO peer server (interop/README.md, "Peer servers") on python-engineio's AsyncServer, under uvicorn.

.venv/bin/python peers/engine.py --port 0
"""

import asyncio
import socket

import contract
import engineio
import uvicorn

chosen = contract.options()
eio = engineio.AsyncServer(
    async_mode="asgi",
    transports=chosen.transports.split(","),
    ping_interval=chosen.ping_interval / 1000,
    ping_timeout=chosen.ping_timeout / 1000,
    # Its handlers would overtake each other otherwise.
    async_handlers=False,
)


async def end(sid):
    # A poll that comes after the end is refused with 400, and what was to go out with it is lost, the end too:
    # python-engineio forgets a session as soon as it is closed. So the end waits until a poll, or the writer of a
    # WebSocket, has taken all that was sent before and waits for more.
    queue = eio.sockets[sid].queue
    while sid in eio.sockets and not (queue.empty() and queue._getters):
        await asyncio.sleep(0.001)
    await eio.disconnect(sid)


@eio.on("message")
async def message(sid, data):
    if data == "close":
        # Not in here: a client that moves to a WebSocket first waits for the answer to this POST.
        eio.start_background_task(end, sid)
    elif isinstance(data, str) and data.startswith("count "):
        for i in range(int(data.removeprefix("count "))):
            await eio.send(sid, str(i))
    else:
        await eio.send(sid, data)


async def main():
    # With the protocol named, as in asgi.py.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", chosen.port))
    listener.listen(128)
    app = engineio.ASGIApp(eio)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    print("listening", listener.getsockname()[1], flush=True)
    await server.serve(sockets=[listener])


asyncio.run(main())
