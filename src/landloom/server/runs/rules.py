"""What a run may ask for here, and what it gets where it asks for nothing."""

from __future__ import annotations

from landloom.errors import BadRequest, Forbidden, InvalidInput
from landloom.server.accounts.keys import Caller
from landloom.server.accounts.tables import Organization
from landloom.server.offers import Offers
from landloom.server.runs.schemas import CreateRunPayload, RunPayload
from landloom.server.settings import Settings
from landloom.server.storage.layout import UserStorage, split_uri
from landloom.server.storage.sources import Sources


class Rules:
    """The operator's settings, applied to requests."""

    def __init__(self, settings: Settings, sources: Sources) -> None:
        self._settings = settings
        self._sources = sources
        self._offers = Offers(settings)

    def payload(
        self,
        request: CreateRunPayload,
        organization: Organization,
        *,
        region: str | None,
        run_id: str,
    ) -> RunPayload:
        """Return the request with every default filled in.

        Raises:
            InvalidInput: A region, runtime or version that is not on offer.
            Forbidden: The operator has not enabled the runtime.
        """
        settings = self._settings
        payload = RunPayload(
            runtime=self._offers.runtime(
                request.runtime or organization.default_runtime or settings.default_runtime
            ),
            region=self._offers.region(
                region or organization.default_region or settings.default_region
            ),
            version=request.version or "latest",
            name=request.name or f"run-{run_id}",
            timeout_seconds=min(request.timeout_seconds, settings.max_alive_hours * 3600),
            run_python=request.run_python,
            run_jar=request.run_jar,
            environment=request.environment,
        )
        self._offers.version(payload.version)
        return payload

    def made(
        self, payload: RunPayload, request: CreateRunPayload, *, region: str | None, run_id: str
    ) -> bool:
        """Say whether a run may be what this request made; what it left open may be anything.

        Args:
            payload: The run's own.
            request: What is asked for now.
            region: The one that is asked for now.
            run_id: The run.
        """
        asked = request.timeout_seconds
        return (
            (request.run_python, request.run_jar) == (payload.run_python, payload.run_jar)
            and request.environment == payload.environment
            and payload.name == (request.name or f"run-{run_id}")
            and payload.version == (request.version or "latest")
            and payload.timeout_seconds
            in {asked, min(asked, self._settings.max_alive_hours * 3600)}
            and payload.region == (region or payload.region)
            and payload.runtime
            == self._settings.sizes.find(request.runtime or payload.runtime).name
        )

    async def check_source(self, request: CreateRunPayload, caller: Caller) -> None:
        """Check that the script or JAR lies where the caller's organization keeps its files.

        Raises:
            InvalidInput: It lies elsewhere.
        """
        source = request.run_python or request.run_jar
        storage = UserStorage(self._settings.bucket, caller.organization_id, caller.user_id)
        place = split_uri(source.uri) if source is not None else None
        if source is None or place is None or storage.contains(source.uri):
            return
        try:
            await self._sources.find(caller, *place)
        except (BadRequest, Forbidden, InvalidInput) as problem:
            raise InvalidInput(
                f"{source.uri} does not lie in the organization's storage.",
                suggestion=f"Upload it under {storage.user_path}"
                " or register its place as a storage integration.",
                field="runPython.uri" if request.run_python else "runJar.uri",
            ) from problem
