"""A client of python-socketio that a test of another language drives, line by line: see support/members.mjs.

    python member.py URL polling|websocket|upgrade default|msgpack
"""

import asyncio
import json
import sys

import socketio
from engineio.payload import Payload

# As in conftest.py: the reference answers a poll with all that waits.
Payload.max_decode_packets = 1000

TRANSPORTS = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
}


def to_line(value):
    """Bytes as `{"$bytes": [0, 255]}`: JSON has none."""
    if isinstance(value, bytes):
        return {"$bytes": list(value)}
    if isinstance(value, (list, tuple)):
        return [to_line(item) for item in value]
    if isinstance(value, dict):
        return {key: to_line(item) for key, item in value.items()}
    return value


def from_line(value):
    if isinstance(value, list):
        return [from_line(item) for item in value]
    if isinstance(value, dict):
        if "$bytes" in value:
            return bytes(value["$bytes"])
        return {key: from_line(item) for key, item in value.items()}
    return value


def say(**line):
    print(json.dumps(to_line(line)), flush=True)


async def main(url, transport, serializer):
    client = socketio.AsyncClient(reconnection=False, serializer=serializer, request_timeout=30)
    for name in ("echo", "bcast", "answer", "question"):

        def heard(*args, name=name):
            say(event=name, args=args)
            # What is acknowledged; the others do not ask.
            return args

        client.on(name, heard)
    client.on("disconnect", lambda reason: say(event="disconnect", args=[str(reason)]))
    await client.connect(url, transports=TRANSPORTS[transport], wait_timeout=30)
    say(event="ready", args=[client.transport()])

    lines = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command = from_line(json.loads(line))

        def answered(*args, id=command["id"]):
            say(id=id, args=args)

        callback = answered if command["id"] else None
        await client.emit(command["event"], tuple(command["args"]), callback=callback)
    await client.disconnect()


asyncio.run(main(*sys.argv[1:]))
