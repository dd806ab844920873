"""Starts one of the proxies that the tests go through, on a free port of loopback: start.py KIND PORT_FILE [NAME=VALUE...]

It only sets them up: what is proven is their own doing. Names that end in .test lead to this machine, as the DNS of a company
would lead to the outside. PORT_FILE holds the port once the proxy listens.

KIND is pproxy (protocol=http|socks5, certificate, key, client_ca), proxy_py (port, certificate, key) or mitmproxy (protocol,
directory, far_ca). Each takes user and password, and lets everybody in without them; pproxy only with socks5, since it looks for
no header but Proxy-Authorization in this very spelling.
"""

import asyncio
import os
import socket
import sys

resolve = socket.getaddrinfo


def of_company(host, *rest, **more):
    name = host.decode() if isinstance(host, bytes) else host
    return resolve("127.0.0.1" if name and name.endswith(".test") else host, *rest, **more)


socket.getaddrinfo = of_company


def tell(path, port):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(str(port))
    os.rename(path + ".new", path)


def pproxy(port_file, user="", password="", protocol="http", certificate="", key="", client_ca=""):
    import ssl

    from pproxy.server import proxies_by_uri

    option = proxies_by_uri(f"{protocol}{'+ssl' if certificate else ''}://127.0.0.1:0")
    option.users = [f"{user}:{password}".encode()] if user else None
    if certificate:
        option.sslserver.load_cert_chain(certificate, key)
    if client_ca:
        option.sslserver.verify_mode = ssl.CERT_REQUIRED
        option.sslserver.load_verify_locations(client_ca)

    async def serve():
        # Who was let in once would be let in for a month.
        arguments = {"rserver": [], "urserver": [], "authtime": -1, "httpget": {}, "salgorithm": "fa", "block": None}
        server = await option.start_server(arguments)
        tell(port_file, server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(serve())


def proxy_py(port_file, user="", password="", port="0", certificate="", key=""):
    import time

    import proxy

    arguments = ["--hostname", "127.0.0.1", "--port", port, "--num-workers", "1", "--num-acceptors", "1", "--threaded"]
    if user:
        arguments += ["--basic-auth", f"{user}:{password}"]
    if certificate:
        arguments += ["--cert-file", certificate, "--key-file", key]
    with proxy.Proxy(arguments) as running:
        tell(port_file, running.flags.port)
        while True:
            time.sleep(3600)


def mitmproxy(port_file, user="", password="", protocol="http", directory="", far_ca=""):
    from mitmproxy import options
    from mitmproxy.tools.dump import DumpMaster

    async def serve():
        setting = options.Options(
            confdir=directory, listen_host="127.0.0.1", listen_port=0, mode=["socks5" if protocol == "socks5" else "regular"]
        )
        master = DumpMaster(setting)
        setting.update(ssl_verify_upstream_trusted_ca=far_ca or None, connection_strategy="lazy")
        if user:
            setting.update(proxyauth=f"{user}:{password}")

        class Started:
            def running(self):
                tell(port_file, master.addons.get("proxyserver").listen_addrs()[0][1])

        master.addons.add(Started())
        await master.run()

    asyncio.run(serve())


if __name__ == "__main__":
    kind, port_file, *settings = sys.argv[1:]
    {"pproxy": pproxy, "proxy_py": proxy_py, "mitmproxy": mitmproxy}[kind](
        port_file, **dict(setting.split("=", 1) for setting in settings)
    )
