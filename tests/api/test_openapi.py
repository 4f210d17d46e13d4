"""`GET /openapi.json`: clients build themselves from it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.platform import Platform

CONTRACT = {
    ("/runs", "get"): (
        "listJobRuns",
        {"name", "created_after", "status", "region", "cursor", "size"},
    ),
    ("/runs", "post"): ("createJobRun", {"region"}),
    ("/runs/{run_id}", "get"): ("getJobRun", {"run_id"}),
    ("/runs/{run_id}/cancel", "post"): ("cancelJobRun", {"run_id"}),
    ("/runs/{run_id}/logs", "get"): ("getJobRunLogs", {"run_id", "size", "cursor"}),
    ("/runs/{run_id}/metrics", "get"): ("getJobRunMetrics", {"run_id"}),
    ("/users/me", "get"): ("getMe", set()),
    ("/organization", "get"): ("getMyOrganization", set()),
    ("/organization/apikeys", "get"): ("getOrganizationApiKeys", set()),
    ("/organization/default-region", "put"): ("setDefaultRegion", {"region"}),
    ("/organization/default-runtime", "put"): ("setDefaultRuntime", {"runtime_id"}),
    ("/apikey", "get"): ("getApiKeys", {"customerId"}),
    ("/apikey", "post"): ("createApiKey", set()),
    ("/apikey/{api_key_id}", "post"): ("updateApiKey", {"api_key_id"}),
    ("/apikey/{api_key_id}", "delete"): ("revokeApiKey", {"api_key_id"}),
    ("/health", "get"): ("healthCheck", set()),
    ("/rasterflow/runs/{run_id}", "delete"): ("cancelRasterflowRun", {"run_id"}),
}
REQUIRED = {
    "RunView": {"id", "createTime", "updateTime", "name", "status", "triggeredBy", "payload"},
    "RunKubeApp": {
        "id",
        "createTime",
        "updateTime",
        "instanceId",
        "status",
        "createdById",
        "regionName",
        "message",
    },
    "KubeAppEvent": {"id", "createTime", "updateTime"},
    "RunPage": {"items", "total"},
    "LogsResponse": {"items", "current_page"},
    "LogItem": {"timestamp", "raw"},
    "RunMetricsResponse": {"series_metrics", "instant_metrics"},
    "ApiKey": {
        "id",
        "createTime",
        "updateTime",
        "partialApiKey",
        "preview",
        "name",
        "valid",
        "revoked",
        "expiresAt",
        "createdById",
        "createdBy",
    },
    "CreateApiKeyRequest": {"name", "expiresAt"},
    "CreateApiKeyResponse": {"key", "preview", "expiresAt"},
    "UpdateApiKeyRequest": {"expiresAt"},
    "ErrorBody": {"errors", "requestId"},
    "ErrorInfo": {"code", "message", "details", "path"},
}


@pytest.fixture(scope="module")
def document(api: Platform) -> dict[str, Any]:
    answer = httpx.get(f"{api.url}/openapi.json")
    assert answer.status_code == 200
    return answer.json()


class TestDocument:
    def test_the_server_is_relative(self, document: dict[str, Any]) -> None:
        assert document["servers"] == [{"url": "/"}]

    @pytest.mark.parametrize("route", CONTRACT, ids=" ".join)
    def test_routes_have_their_names_parameters_and_errors(
        self, document: dict[str, Any], route: tuple[str, str]
    ) -> None:
        path, method = route
        operation_id, parameters = CONTRACT[route]
        operation = document["paths"][path][method]
        assert operation["operationId"] == operation_id
        assert {each["name"] for each in operation.get("parameters", [])} == parameters
        assert set(operation["responses"]) >= {"400", "401", "403", "404", "409", "422", "500"}
        schemes = [name for each in operation["security"] for name in each]
        expected = [] if path == "/health" else ["bearerToken", "wherobotsApiKey"]
        assert sorted(schemes) == expected

    def test_bodies_have_what_clients_need(self, document: dict[str, Any]) -> None:
        schemas = document["components"]["schemas"]
        for name, fields in REQUIRED.items():
            assert set(schemas[name]["required"]) >= fields, name
        assert not any("HTTPValidationError" in name for name in schemas)

    def test_the_bodys_plain_fields_have_one_type(self, document: dict[str, Any]) -> None:
        fields = document["components"]["schemas"]["CreateRunPayload"]["properties"]
        assert fields["timeoutSeconds"]["type"] == "integer"
        assert fields["name"]["type"] == "string"

    def test_health_is_kept_from_the_command_lines(self, document: dict[str, Any]) -> None:
        assert document["paths"]["/health"]["get"]["x-exclude-from-cli"] is True
