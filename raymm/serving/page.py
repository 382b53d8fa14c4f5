"""The pages at ``/`` and ``/docs``: files of this package, served as they are.

They hold no secret and nothing of any model: a page asks the service itself, with the token that
a person gives it. Nothing is loaded from elsewhere, no script stands within the page, and the
headers forbid both, as they forbid other pages to frame it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from raymm.errors import NotFound

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

FOLDER = Path(__file__).parent / "assets"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class Page:
    """Serves the page's files, which are read once.

    Parameters
    ----------
    folder : Path
        Where they lie.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        read = {path: path.read_bytes() for path in folder.iterdir() if path.suffix in _TYPES}
        self._files = {
            path.name: (content, _TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:32])
            for path, content in read.items()
        }

    async def index(self, request: Request) -> Response:
        """Return the page, or where it asks for JSON and not for HTML, where to read on."""
        from starlette.responses import JSONResponse

        accepted = request.headers.get("accept", "")
        if "application/json" in accepted and "text/html" not in accepted:
            told = {"service": "raymm", "docs": "/docs", "openapi": "/openapi.json"}
            return JSONResponse(told, headers={"vary": "accept"})
        page = self._file("index.html", request)
        page.headers["vary"] = "accept"
        return page

    async def docs(self, request: Request) -> Response:
        """Return the page that shows the OpenAPI document."""
        return self._file("docs.html", request)

    async def asset(self, request: Request) -> Response:
        """Return one of the page's files; raises NotFound."""
        return self._file(request.path_params["file"], request)

    def _file(self, name: str, request: Request) -> Response:
        from starlette.responses import Response

        if name not in self._files:
            raise NotFound(f'the page has no file "{name[:80]}".')
        content, kind, sha256 = self._files[name]
        tag = f'"{sha256}"'
        headers = {**_HEADERS, "etag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)


def slashed(request: Request) -> Response | None:
    """Return the way to the page of an application that is not at the root, else None.

    Its page is at ``/NAME/``, and a person leaves out the last slash.
    """
    from starlette.responses import RedirectResponse

    root = request.scope.get("root_path", "")
    if request.method not in ("GET", "HEAD") or not root or request.scope["path"] != root:
        return None
    return RedirectResponse(f"{root.rpartition('/')[2]}/")
