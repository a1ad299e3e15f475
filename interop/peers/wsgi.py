"""The peer server (interop/README.md, "Peer servers") on python-socketio's Server, one thread for each request.

.venv/bin/python peers/wsgi.py --port 0 --ticks
"""

import logging
import threading
import time

import contract
import socketio
from werkzeug.serving import make_server

chosen = contract.options()
sio = socketio.Server(async_mode="threading", **contract.settings(chosen))


def serve(namespace):
    on = lambda handler: sio.on(handler.__name__, handler, namespace=namespace)

    def connect(sid, environ, auth=None):
        contract.admit(namespace, auth)
        if namespace == "/late":
            sio.emit("early", 1, to=sid, namespace=namespace)

    def echo(sid, *args):
        sio.emit("echo", args, to=sid, namespace=namespace)

    def ack(sid, *args):
        return args

    def ask(sid, *args):
        def answered(*answer):
            sio.emit("answered", answer, to=sid, namespace=namespace)

        sio.emit("question", args, to=sid, namespace=namespace, callback=answered)

    def burst(sid, n):
        for i in range(n):
            sio.emit("tick", i, to=sid, namespace=namespace)

    def kick(sid):
        sio.disconnect(sid, namespace=namespace)

    def close(sid):
        sio.eio.disconnect(sio.manager.eio_sid_from_sid(sid, namespace))

    def log(sid, uid, payload=None):
        contract.record(chosen, uid, payload)
        return uid

    for handler in (connect, echo, ack, ask, burst, kick, close, log):
        on(handler)


def ticks():
    n = 0
    while True:
        sio.emit("tick", n)
        n += 1
        time.sleep(0.1)


for name in contract.NAMESPACES:
    serve(name)
logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
server = make_server("127.0.0.1", chosen.port, socketio.WSGIApp(sio, socketio_path=chosen.path.strip("/")), threaded=True)
print("listening", server.port, flush=True)
if chosen.ticks:
    threading.Thread(target=ticks, daemon=True).start()
server.serve_forever()
