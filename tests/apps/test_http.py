"""The service: the bundle's answers, behind a key, on loopback."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import attune
from attune.serving.engine import Engine
from support.bundles import made_up

TEXTS = [row["text"] for row in made_up(20, seed=9)]


@pytest.fixture(scope="module")
def client(workshop):
    """A client of the application, in this process."""
    testclient = pytest.importorskip("fastapi.testclient")
    from attune.apps.http.service import service

    return testclient.TestClient(service(Engine(workshop.bundle()), "secret"))


KEY = {"Authorization": "Bearer secret"}


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}, {"X-Key": "secret"}]
)
def test_no_key_no_answer(client, headers):
    reply = client.post("/v1/predict", json={"rows": ["hello"]}, headers=headers)
    assert reply.status_code == 401
    assert "predictions" not in reply.text


def test_the_bundle_s_answers(client, workshop):
    rows = [text if index % 2 else {"text": text} for index, text in enumerate(TEXTS)]
    reply = client.post("/v1/predict", json={"rows": rows}, headers=KEY)
    assert reply.status_code == 200
    assert reply.json()["bundle"] == workshop.bundle().digest
    assert reply.json()["predictions"] == [found.as_dict() for found in workshop.bundle().predict(TEXTS)]


def test_bad_rows_are_listed(client):
    reply = client.post("/v1/predict", json={"rows": ["fine", " ", {"text": "a\0b"}]}, headers=KEY)
    assert reply.status_code == 422
    assert [problem["where"] for problem in reply.json()["problems"]] == ["row 2", "row 3"]


@pytest.mark.parametrize(
    "body", [{}, {"rows": []}, {"rows": [3]}, {"rows": ["x"], "more": 1}, {"rows": ["x"] * 2000}, []]
)
def test_bad_questions(client, body):
    assert client.post("/v1/predict", json=body, headers=KEY).status_code == 422


def test_health_and_documentation_need_no_key(client, workshop):
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json()["bundle"] == workshop.bundle().digest
    page = client.get("/docs")
    assert page.status_code == 200
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) >= 3, page.text
    for part in parts:  # the page needs nothing from elsewhere
        assert part.startswith(str(client.base_url)), part
        assert client.get(part).status_code == 200
    assert "/v1/predict" in client.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_loopback_only(run, workshop, host):
    outcome = run("serve", workshop.bundle().path, "--host", host)
    assert (outcome.code, "not a loopback address" in outcome.err) == (2, True)


@pytest.mark.slow
def test_a_real_service(workshop):
    command = [
        sys.executable,
        "-m",
        "attune.apps.cli.main",
        "serve",
        str(workshop.bundle().path),
        "--port",
        "0",
        "--json",
    ]
    source = {**os.environ, "PYTHONPATH": str(Path(attune.__file__).parents[1]), "PYTHONUNBUFFERED": "1"}
    source.pop("ATTUNE_API_KEY", None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=source) as process:
        try:
            assert process.stdout is not None
            text = ""
            while not text.rstrip().endswith("}"):
                line = process.stdout.readline()
                assert line, "the service ended"
                text += line
            said = json.loads(text)
            headers = {"Authorization": f"Bearer {said['key']}"}
            reply = httpx.post(f"{said['address']}/v1/predict", json={"rows": TEXTS}, headers=headers, timeout=60)
            wanted = [found.as_dict()["answer"] for found in workshop.bundle().predict(TEXTS)]
            assert [row["answer"] for row in reply.json()["predictions"]] == wanted
            assert httpx.post(f"{said['address']}/v1/predict", json={"rows": TEXTS}, timeout=60).status_code == 401
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
