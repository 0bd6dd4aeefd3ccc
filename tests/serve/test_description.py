"""The OpenAPI description: what it promises is kept, and what is kept it says."""

from __future__ import annotations

import base64
import re

import cv2
import numpy as np
import pytest

from featherface import Detector
from featherface.cli.serve import anonymise
from featherface.serve.app import create_app
from featherface.serve.schema import SCALES, Found, Models
from featherface.serve.settings import Settings


@pytest.fixture(scope="module")
def description(ask):
    return ask("GET", "/openapi.json").json()


def test_every_endpoint_is_there(description):
    assert {"/v1/detect", "/v1/anonymise", "/v1/models", "/healthz", "/readyz", "/metrics"} == set(
        description["paths"]
    )


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/anonymise"])
def test_every_kind_of_body_is_described_with_an_example_that_works(path, description, ask):
    content = description["paths"][path]["post"]["requestBody"]["content"]
    assert set(content) == {"image/*", "multipart/form-data", "application/json"}
    assert content["multipart/form-data"]["schema"]["required"] == ["file"]
    example = content["application/json"]["example"]
    assert len(Detector().detect(base64.b64decode(example[0], validate=True))) == 0
    assert ask("POST", path, json=example).status_code == 200


def test_answers_have_the_form_that_is_described(description, ask, photo):
    schema = description["paths"]["/v1/detect"]["post"]["responses"]["200"]["content"]["application/json"]
    assert schema["schema"]["$ref"].endswith("/Found") and Found.model_validate(schema["example"])
    files = [("file", ("good.jpg", photo)), ("file", ("bad.jpg", b"no picture"))]
    found = ask("POST", "/v1/detect", files=files).json()
    assert Found.model_validate(found, strict=True).model_dump(exclude_unset=True).keys() == found.keys()
    assert Models.model_validate(ask("GET", "/v1/models").json()).serving == "v2"


@pytest.mark.parametrize(
    ("scales", "good"),
    [
        pytest.param("1", True, id="one"),
        pytest.param("auto", True, id="as the detector likes"),
        pytest.param("auto,1", False, id="that and another"),
        pytest.param("0.5,1,2", True, id="several"),
        pytest.param(".25,8.0", True, id="both ends"),
        pytest.param("0.0001", True, id="the smallest"),
        pytest.param("0", False, id="zero"),
        pytest.param("0.0", False, id="zero with decimals"),
        pytest.param("-1", False, id="below zero"),
        pytest.param("8.1", False, id="over 8"),
        pytest.param("10", False, id="ten"),
        pytest.param("nan", False, id="no number"),
        pytest.param("1,", False, id="a comma too many"),
        pytest.param("1\n", False, id="a line's end"),
        pytest.param(",".join("1" * 8), True, id="eight"),
        pytest.param(",".join("1" * 9), False, id="nine"),
    ],
)
def test_scales_are_what_their_pattern_says(scales, good, ask, photo, description):
    (described,) = (
        parameter["schema"]["pattern"]
        for parameter in description["paths"]["/v1/detect"]["post"]["parameters"]
        if parameter["name"] == "scales"
    )
    assert described == SCALES and bool(re.fullmatch(SCALES, scales)) == good
    status = 422 if not good else 413  # 413: so that nothing has to run
    answer = ask("POST", "/v1/detect", settings={"max_pixels": 1}, params={"scales": scales}, content=photo)
    assert answer.status_code == status, answer.text


def test_a_scale_that_leaves_nothing_of_a_picture_is_answered(ask, photo):
    answer = ask("POST", "/v1/detect", params={"scales": "0.0001"}, content=photo)
    assert answer.status_code in (200, 422)


PICTURE = cv2.imencode(".png", np.full((12, 16, 3), 128, np.uint8))[1].tobytes()


def probe(examples, *, pictures):
    """Whatever schemathesis thinks of: no answer is a 500, and each is one that the description names.

    No schema can say what a picture is. So what fits it may be refused, unless `pictures` take its body's place.
    """
    schemathesis = pytest.importorskip("schemathesis")
    app = create_app(Settings(max_bytes=100_000, max_pixels=500_000), anonymise)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
    from schemathesis.core import NotSet
    from schemathesis.specs.openapi.checks import positive_data_acceptance
    from schemathesis.transport.serialization import Binary

    @schema.hook
    def map_body(_, body):
        if not pictures or isinstance(body, NotSet):
            return body
        if isinstance(body, list):
            return [base64.b64encode(PICTURE).decode()]
        return {"file": [Binary(PICTURE)]} if isinstance(body, dict) else Binary(PICTURE)

    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert len(operations) == 6

    @given(st.one_of(*(operation.as_strategy() for operation in operations)))
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        answer = case.call()
        allowed = {200} if pictures else {200, 400, 405, 413, 415, 422}
        if pictures and answer.status_code == 413:
            assert "at most 500,000" in answer.text or "at most 2,000,000" in answer.text
            allowed.add(413)
        refused = not pictures or answer.status_code == 413
        case.validate_response(answer, excluded_checks=[positive_data_acceptance] if refused else [])
        assert answer.status_code in allowed, answer.text

    ask()


@pytest.mark.parametrize("pictures", [False, True], ids=["whatever fits it", "pictures"])
@pytest.mark.long
def test_the_description_holds(pictures):
    probe(20, pictures=pictures)


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [False, True], ids=["whatever fits it", "pictures"])
def test_the_description_holds_for_long(pictures):
    probe(500, pictures=pictures)
