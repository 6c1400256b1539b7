"""Runs localstripe on loopback, with nothing kept on disk; it has no option for either."""

import sys

from aiohttp import web
from localstripe import resources, server

resources.Store.dump_to_disk = lambda _self: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
