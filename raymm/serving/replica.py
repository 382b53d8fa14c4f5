"""What Serve asks of a replica besides answering HTTP."""

from __future__ import annotations

from typing import Any

from raymm.serving.grpc_service import Inference
from raymm.serving.scaling import LOAD, REFUSED


class Replica(Inference):
    """Answers gRPC, and tells how it is.

    Attributes
    ----------
    app : ASGI application
        The turnstile around the service's own.
    """

    app: Any

    def check_health(self) -> None:
        """Fail when no model is loaded, so that Serve replaces the replica."""
        models = self.app.app.state.models
        for name in models.names():
            models.get(name)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return what `raymm.serving.scaling.replicas_wanted` goes by."""
        load, refused = self.app.app.state.service.load()
        return {LOAD: load, REFUSED: refused}
