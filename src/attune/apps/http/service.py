"""The HTTP service: predictions behind a key, health for those who watch."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_swagger import patch_fastapi
from pydantic import BaseModel, ConfigDict, Field

from attune.errors import DataError
from attune.serving.engine import Engine

MOST_ROWS = 1024
MOST_CHARACTERS = 200_000
BEARER = HTTPBearer(auto_error=False)


class Row(BaseModel):
    """One text to answer, or a text and the one it is paired with, and what else the bundle's task reads of a row."""

    model_config = ConfigDict(extra="allow")
    text: Annotated[str, Field(max_length=MOST_CHARACTERS)] | list[Any] | dict[str, Any] | None = Field(
        None, description="The text; of a bundle that reads conversations or slots also those, as JSON."
    )
    text_pair: str | None = Field(None, max_length=MOST_CHARACTERS, description="Second text, for a bundle of pairs.")


class Question(BaseModel):
    """One row or many."""

    model_config = ConfigDict(extra="forbid")
    rows: list[Row | str] = Field(
        min_length=1, max_length=MOST_ROWS, description="Texts, or objects with the key text, and text_pair for pairs."
    )


class Alternative(BaseModel):
    """A label with its probability, or another text without one."""

    label: str
    confidence: float | None


class Span(BaseModel):
    """Part of the text; start and end count characters, the end is the first one after it."""

    start: int
    end: int
    label: str
    text: str
    confidence: float | None


class Answer(BaseModel):
    """The answer to one row."""

    answer: str | float | list[str] | list[float] | dict[str, str | float | list[str]]
    confidence: float | None
    alternatives: list[Alternative]
    notices: list[str]
    spans: list[Span]
    levels: list[list[Alternative]] = Field([], description="Where labels have parents: each level above them.")
    tasks: dict[str, Answer] = Field({}, description="Of a bundle of several tasks: the answer to each, by name.")


class Reply(BaseModel):
    """Answers in the order of the rows, and the digest of the bundle that gave them."""

    bundle: str
    predictions: list[Answer]


def service(engine: Engine, key: str) -> FastAPI:
    """The application.

    Args:
        engine: Who answers.
        key: The bearer token that `POST /v1/predict` asks for.

    Returns:
        A FastAPI application; /docs shows its page, whose script it serves itself.
    """
    app = FastAPI(
        title="attune", version=engine.bundle.digest[:12], description="Predictions of one bundle.",
        docs_url=None, redoc_url=None, swagger_ui_oauth2_redirect_url=None,
    )  # fmt: skip
    patch_fastapi(app, redirect_from_root_to_docs=False)

    def allowed(given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]) -> None:
        if given is None or not secrets.compare_digest(given.credentials.encode(), key.encode()):
            raise HTTPException(
                401, "give the service's key as `Authorization: Bearer KEY`", {"WWW-Authenticate": "Bearer"}
            )

    def refused(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, DataError)
        problems = [asdict(problem) for problem in error.problems]
        return JSONResponse({"detail": error.found, "problems": problems, "remedy": error.remedy}, 422)

    app.add_exception_handler(DataError, refused)

    @app.post("/v1/predict", dependencies=[Depends(allowed)], response_model_exclude_unset=True)
    def predict(question: Question) -> Reply:
        """Answers one row or many."""
        rows = [row if isinstance(row, str) else row.model_dump() for row in question.rows]
        found = [Answer.model_validate(prediction.as_dict()) for prediction in engine.predict(rows)]
        return Reply(bundle=engine.bundle.digest, predictions=found)

    @app.get("/livez")
    def livez() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz() -> dict[str, Any]:
        """The bundle is loaded, verified, and answered its witness rows as it did when it was made."""
        return {"status": "ready", "bundle": engine.bundle.digest}

    del predict, livez, readyz
    return app
