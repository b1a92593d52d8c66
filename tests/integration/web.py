"""Web servers for tests: on a free port, with a site as `whb client-config` prints it, killed at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.integration.conftest import Whb

NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site;
}}
"""
APACHE_MODULES = (
    *(
        "mpm_event",
        "authz_core",
        "authn_core",
        "auth_basic",
        "authn_file",
        "authz_user",
        "alias",
        "dir",
        "headers",
        "mime",
    ),
    *("negotiation", "ssl", "socache_shmcb"),
)
APACHE = """\
ServerRoot {folder}
ServerName localhost
PidFile {folder}/httpd.pid
Mutex file:{folder} default
TypesConfig /dev/null
ErrorLog /dev/stderr
User www-data
Group www-data
{modules}
<Directory />
    Require all denied
</Directory>
Include {folder}/site
"""
CADDY = """\
{{
    admin off
    auto_https off
    storage file_system {folder}/storage
}}
import {folder}/site
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """An index that is served."""

    url: str
    whb: Whb
    folder: Path  # of the server: its log, its files of passwords
    options: Sequence[str] = ()  # of `whb client-config`

    def config(self, kind: str, *options: str) -> str:
        """What `whb client-config` prints for it."""
        return self.whb.ok("client-config", kind, "--url", self.url, *self.options, *options, cwd=self.folder).stdout


def free_port() -> int:
    """A port that nobody listens on, of those that Linux gives to nobody who does not ask for one.

    Tests run side by side: what the system gave away would be another's before a server has started.
    """
    while True:
        port = secrets.choice(range(10_000, 32_768))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def serving(kind: str, site: str, folder: Path, port: int, environ: Mapping[str, str] | None = None) -> Iterator[None]:
    """A web server (nginx, apache, caddy) with this site in its configuration, until the end."""
    (folder / "site").write_text(site, encoding="utf-8")
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in APACHE_MODULES)
    main = {"nginx": NGINX, "apache": APACHE, "caddy": CADDY}[kind].format(folder=folder, modules=modules)
    config = folder / "main.conf"
    config.write_text(main, encoding="utf-8")
    argv = {
        "nginx": ["nginx", "-p", str(folder), "-c", str(config), "-e", "stderr"],
        "apache": ["apache2", "-D", "FOREGROUND", "-f", str(config)],
        "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)],
    }[kind]
    with running(argv, port, folder / "server.log", environ):
        yield


@contextlib.contextmanager
def running(argv: Sequence[str], port: int, log: Path, environ: Mapping[str, str] | None = None) -> Iterator[None]:
    """A server that listens on a port, until the end."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    with log.open("wb") as output:
        env = {**os.environ, "PATH": path, **(environ or {})}
        process = subprocess.Popen(argv, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until, f"nobody listens on {port}: {log.read_text(encoding='utf-8')}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def certificates(folder: Path, host: str) -> tuple[str, ...]:
    """An authority and a certificate that it signed for a host, as options of `whb client-config`."""
    ca, ca_key, cert, key = (str(folder / name) for name in ("ca.pem", "ca.key", "cert.pem", "cert.key"))
    new = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-days",
        "2",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]
    signed = [
        "-CA",
        ca,
        "-CAkey",
        ca_key,
        "-addext",
        f"subjectAltName=DNS:{host}",
        "-addext",
        "basicConstraints=CA:FALSE",
    ]
    for made in (
        [*new, "-subj", "/CN=whb tests", "-out", ca, "-keyout", ca_key],
        [*new, "-subj", f"/CN={host}", *signed, "-out", cert, "-keyout", key],
    ):
        subprocess.run(made, check=True, capture_output=True)
    return ("--ca", ca, "--tls-cert", cert, "--tls-key", key)


class Files(SimpleHTTPRequestHandler):
    """Hands out files, and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving_files(folder: Path, *, host: str = "127.0.0.1", handler: type[Files] = Files) -> Iterator[str]:
    """A server of this process that can do nothing but files; `host:port`."""
    with ThreadingHTTPServer((host, 0), partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
