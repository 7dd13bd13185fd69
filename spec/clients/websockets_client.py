"""A conversation with an echo server, by PyPI's websockets.

Prints what came of it as one line of JSON. Usage: websockets_client.py URL [protocol]
"""

import asyncio
import json
import os
import ssl
import sys

import websockets

SIZES = [0, 1, 125, 126, 65535, 65536, 1048576]


async def echoes(connection, message):
    await connection.send(message)
    return await connection.recv() == message


async def converse(url, protocols):
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    secure = {"ssl": trusting} if url.startswith("wss:") else {}
    result = {"protocol": None, "text": [], "binary": []}
    async with websockets.connect(url, subprotocols=protocols or None, **secure) as connection:
        result["protocol"] = connection.subprotocol or ""
        for size in SIZES:
            if await echoes(connection, "é" * (size // 2) + "x" * (size % 2)):
                result["text"].append(size)
            if await echoes(connection, os.urandom(size)):
                result["binary"].append(size)
        await connection.send(["Hel", "lo ", "世界"])
        result["fragments"] = await connection.recv()
        await (await connection.ping("are you there?"))
        result["pong"] = "are you there?"
        await connection.send("ping me")
        result["ponged"] = await connection.recv()
        await connection.send("close me")
        try:
            await connection.recv()
        except websockets.ConnectionClosed as closed:
            result["close"] = [closed.rcvd.code, closed.rcvd.reason]
    return result


async def main():
    url, *protocols = sys.argv[1:]
    try:
        return await asyncio.wait_for(converse(url, protocols), 15)
    except Exception as error:  # whatever it is, the spec shows it
        return {"error": repr(error)}


print(json.dumps(asyncio.run(main())))
