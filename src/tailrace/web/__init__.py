"""The page and the HTTP API of ``tailrace web``: the service's functions, asked over HTTP. It decides nothing.

Needs the extra ``web`` (Starlette, uvicorn), so nothing outside imports this package but the command that starts it.
"""
