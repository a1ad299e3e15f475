"""The chat as a node of python-socketio, with its manager for Redis."""

import asyncio
import pathlib
import socket
import sys

import socketio
import uvicorn

page = pathlib.Path(__file__).parent.parent / "chat.html"
sio = socketio.AsyncServer(async_mode="asgi", client_manager=socketio.AsyncRedisManager(sys.argv[1]))
app = socketio.ASGIApp(sio, static_files={"/": {"content_type": "text/html; charset=utf-8", "filename": str(page)}})
# Those on this node: no other node can be asked for its sockets.
names = {}


@sio.on("add user")
async def add_user(sid, username):
    if sid in names:
        return
    names[sid] = username
    await sio.emit("login", {"numUsers": len(names)}, to=sid)
    await sio.emit("user joined", {"username": username, "numUsers": len(names)}, skip_sid=sid)


@sio.on("new message")
async def new_message(sid, message):
    if sid in names:
        await sio.emit("new message", {"username": names[sid], "message": message}, skip_sid=sid)


@sio.on("typing")
async def typing(sid):
    if sid in names:
        await sio.emit("typing", {"username": names[sid]}, skip_sid=sid)


@sio.on("stop typing")
async def stop_typing(sid):
    if sid in names:
        await sio.emit("stop typing", {"username": names[sid]}, skip_sid=sid)


@sio.event
async def disconnect(sid, reason):
    username = names.pop(sid, None)
    if username is not None:
        await sio.emit("user left", {"username": username, "numUsers": len(names)}, skip_sid=sid)


async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    print(f"open http://127.0.0.1:{listener.getsockname()[1]} in a window", flush=True)
    await server.serve(sockets=[listener])


asyncio.run(main())
