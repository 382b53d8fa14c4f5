"""The end of services that were left running on this machine, or on a cluster it put them on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence

from raymm import occupied
from raymm.endpoint import Service, alive, find, gone, joining, path_of
from raymm.errors import Conflict, NotFound, ServingError
from raymm.sections import RayConfig

_STOP_SECONDS = 60.0


def stop(names: str | Sequence[str]) -> tuple[Service, ...]:
    """End the services of these models, and return them.

    Models that were deployed together end together, and with a service that holds a cluster of
    this machine those that joined it: they must all be named.

    Raises
    ------
    NotFound
        When there is no record of such a service; nothing has ended.
    Conflict
        When another model would end too, which is told; nothing has ended.
    ServingError
        When one does not end in time, or something else answers at its address.
    """
    wanted = (names,) if isinstance(names, str) else tuple(names)
    services: dict[str, Service] = {}
    for name in wanted:
        service = find(name)
        if service is None:
            raise NotFound(
                f"no service of {name} is recorded here. Start one with: raymm deploy {name}"
            )
        for one in (*joining(service), service):  # whoever holds the cluster comes last
            services.setdefault(one.name, one)
    _require_named(wanted, services.values())
    for service in sorted(services.values(), key=lambda one: one.pid != 0):
        _end(service)
    return tuple(services.values())


def _require_named(wanted: Sequence[str], services: Iterable[Service]) -> None:
    """Raise Conflict where a model would end that is served and is not named."""
    ending = [name for one in services if alive(one) for name in one.served()]
    others = [name for name in ending if name not in wanted]
    if others:
        together = " ".join((*wanted, *others))
        raise Conflict(
            f"nothing has ended: {' and '.join(others)} would end too, served by what serves "
            f"{' and '.join(wanted)}. To end all of them: raymm stop {together}. To go on with "
            f"{' and '.join(others)} alone, then: raymm deploy {' '.join(others)}"
        )


def _end(service: Service) -> None:
    if service.pid == 0:
        _undeploy(service)
    elif alive(service):
        os.kill(service.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while alive(service):
            if time.monotonic() > deadline:
                told = " and ".join(service.served())
                raise ServingError(f"process {service.pid} that serves {told} does not end.")
            time.sleep(0.1)
    for one in service.served():
        path_of(one).unlink(missing_ok=True)
    if service.pid:
        occupied.require_ended(service)


def _undeploy(service: Service) -> None:
    from raymm import cluster

    if gone(service):
        return  # it joined an endpoint of this machine that has ended
    with cluster.connect(RayConfig(address=service.address or "auto"), serving=True):
        take_down(service)


def take_down(service: Service) -> None:
    """Remove a service from the cluster that is connected, with its monitors and its records."""
    from raymm.monitoring import actor
    from raymm.serving import deployment

    deployment.undeploy(service.name)
    for name in service.served():
        actor.stop(name)
        path_of(name).unlink(missing_ok=True)
