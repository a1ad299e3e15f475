"""The official Python client (asyncio, aiohttp) against the server."""

import asyncio

import pytest
import socketio

from test_client import TRANSPORTS, WAIT


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 50))


def events(client, name, namespace="/"):
    received = asyncio.Queue()

    async def put(*args):
        received.put_nowait(args)

    client.on(name, put, namespace=namespace)
    return received


async def take(inbox, seconds=WAIT):
    return await asyncio.wait_for(inbox.get(), seconds)


class Dialled:
    """`async with` a connected client."""

    def __init__(self, server, how, prepare=lambda client: None, **options):
        self.server, self.how, self.prepare, self.options = server, how, prepare, options

    async def __aenter__(self):
        self.client = socketio.AsyncClient(reconnection=False, request_timeout=WAIT)
        self.prepare(self.client)
        await self.client.connect(
            self.server.url, transports=TRANSPORTS[self.how], wait_timeout=WAIT, **self.options
        )
        assert self.client.transport() == ("polling" if self.how == "polling" else "websocket")
        return self.client

    async def __aexit__(self, *error):
        await self.client.disconnect()


@pytest.mark.parametrize("how", TRANSPORTS)
def test_events_acks_and_binary(server, how):
    async def scenario():
        async with Dialled(server, how) as client:
            back = events(client, "message-back")
            payload = {"text": "é😀", "list": [1, None, {"bytes": b"\x01\x02"}]}
            await client.emit("message", (payload, b""))
            assert await take(back) == (payload, b"")
            assert await client.call("ack", b"\x00", timeout=WAIT) == b"\x00"
            assert await client.call("message-with-ack", (1, "2"), timeout=WAIT) == (1, "2")
            answers = await asyncio.gather(*(client.call("ack", n, timeout=WAIT) for n in range(100)))
            assert answers == list(range(100))

    run(scenario())


@pytest.mark.parametrize("how", TRANSPORTS)
def test_namespaces_and_auth(server, how):
    async def scenario():
        inboxes = []

        def prepare(client):
            inboxes.extend(events(client, "auth", namespace) for namespace in ("/", "/custom"))

        options = {"namespaces": ["/", "/custom"], "auth": {"token": "t"}}
        async with Dialled(server, how, prepare, **options) as client:
            for inbox in inboxes:
                assert await take(inbox) == ({"token": "t"},)
            assert await client.call("ack", 1, timeout=WAIT) == 1
            assert await client.call("ack", 2, namespace="/custom", timeout=WAIT) == 2

    run(scenario())


@pytest.mark.parametrize("how", TRANSPORTS)
def test_an_unknown_namespace_is_refused(server, how):
    async def scenario():
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with Dialled(server, how, namespaces=["/random"]):
                pass

    run(scenario())


@pytest.mark.parametrize("how", TRANSPORTS)
def test_rooms_reach_their_members(server, how):
    async def scenario():
        async with Dialled(server, how) as one, Dialled(server, "websocket") as two:
            inboxes = [events(client, "bcast") for client in (one, two)]
            for client in (one, two):
                await client.call("join", f"async {how}", timeout=WAIT)
            for number in range(50):
                await one.emit("bcast", (f"async {how}", number))
            for inbox in inboxes:
                assert sorted([(await take(inbox))[0] for _ in range(50)]) == list(range(50))

    run(scenario())


@pytest.mark.parametrize("how", TRANSPORTS)
def test_it_comes_back_when_the_server_was_killed(own_server, how):
    async def scenario():
        client = socketio.AsyncClient(
            request_timeout=WAIT,
            reconnection_delay=0.1, reconnection_delay_max=0.3, randomization_factor=0
        )
        auth = events(client, "auth")
        gone = events(client, "disconnect")
        await client.connect(
            own_server.url, transports=TRANSPORTS[how], auth={"n": 1}, wait_timeout=WAIT
        )
        assert await take(auth) == ({"n": 1},)
        own_server.kill()
        await take(gone)
        own_server.start()
        assert await take(auth, 30) == ({"n": 1},)
        assert await client.call("ack", "back", timeout=WAIT) == "back"
        await client.disconnect()

    run(scenario())
