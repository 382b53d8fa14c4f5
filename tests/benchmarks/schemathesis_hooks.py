"""How schemathesis writes bodies of the kinds that it does not know: text and bytes as they are."""

import schemathesis


@schemathesis.serializer("text/csv", "application/vnd.apache.arrow.stream")
def plain(ctx, value):
    """Return a generated body as bytes."""
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogatepass")
