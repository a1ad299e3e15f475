"""What Python's parser makes of the packets on stdin: see vectors.mjs."""

import json
import sys

import msgpack
from socketio.msgpack_packet import MsgPackPacket


def value(written):
    if isinstance(written, list):
        return [value(element) for element in written]
    if not isinstance(written, dict):
        return written
    if "$bin" in written:
        return bytes.fromhex(written["$bin"])
    if "$number" in written:
        return float(written["$number"])
    return {key: value(member) for key, member in written.items()}


vectors = []
for packet in json.load(sys.stdin):
    data = value(packet.get("data"))
    encoded = MsgPackPacket(packet["type"], data=data, namespace=packet["nsp"], id=packet.get("id")).encode()
    vector = {"by": "python", "packet": packet, "hex": encoded.hex()}
    if "data" in packet:
        vector["data"] = msgpack.dumps(data).hex()
    vectors.append(vector)
json.dump(vectors, sys.stdout)
