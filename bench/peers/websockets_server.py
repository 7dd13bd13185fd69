"""Python's websockets: python websockets_server.py echo|broadcast|count [CERTIFICATE KEY]"""

import asyncio
import ssl
import sys

import websockets
from websockets.asyncio.server import broadcast, serve

mode, *files = sys.argv[1:]
connections = set()


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def cast(ws):
    connections.add(ws)
    try:
        async for message in ws:
            broadcast(connections, message)
    finally:
        connections.remove(ws)


async def count(ws):
    counted = 0
    async for message in ws:
        if isinstance(message, str):
            counted += 1
        else:
            await ws.send(str(counted))


async def main():
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    behave = {"echo": echo, "broadcast": cast, "count": count}[mode]
    async with serve(
        behave, "127.0.0.1", 0, ssl=context, compression=None, ping_interval=None, max_size=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        print(port, "websockets", websockets.__version__, flush=True)
        await server.serve_forever()


asyncio.run(main())
