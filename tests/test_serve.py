"""The service of `examples/serve.py`: its answers, what it refuses, several questions at once, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers

pytest.importorskip("starlette", reason="starlette is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytestmark = [
    pytest.mark.cpu,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def serve() -> Any:
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module("serve")
    finally:
        sys.path.remove(str(EXAMPLES))


class Service:
    """The program in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / "serve.py"), "--port", "0", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise AssertionError("".join(lines))

    def ask(self, path: str, body: bytes | None = None, method: str = "POST") -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, and returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        assert self.process.stderr is not None
        self.said = self.process.stderr.read()
        self.process.stderr.close()
        return status


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    found = Service()
    yield found
    found.end()


def rows_of(x: np.ndarray) -> bytes:
    return json.dumps({"rows": x.tolist()}).encode()


# -- questions and answers


@pytest.mark.parametrize("n", [1, 2, 300])
def test_answers_are_those_of_predict(service, serve, n):
    x, y = fastnn.datasets.load_digits()
    expected = serve.trained_on_digits().predict(x[:n])
    status, answer = service.ask("/predict", rows_of(x[:n]))
    assert status == 200
    np.testing.assert_array_equal(np.array(answer["outputs"], np.float32), expected)
    assert (expected.argmax(axis=1) == y[:n]).mean() > 0.95


def test_health(service):
    status, told = service.ask("/health", method="GET")
    assert status == 200
    assert told["status"] == "ok"
    assert (told["input_shape"], told["output_shape"]) == ([64], [10])
    assert told["fastnn"] == fastnn.__version__


def test_many_clients_at_once(service, serve):
    x, _ = fastnn.datasets.load_digits()
    expected = serve.trained_on_digits().predict(x[:80])
    wrong = []

    def work(first: int) -> None:
        for i in range(first, 80, 8):
            status, answer = service.ask("/predict", rows_of(x[i : i + 1]))
            same = np.array_equal(np.array(answer["outputs"], np.float32), expected[i : i + 1])
            wrong.extend([] if status == 200 and same else [i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def row(*end: str) -> bytes:
    """A question about a row of 64 words, the last of which are given."""
    return b'{"rows": [[%s]]}' % ", ".join(["1"] * (64 - len(end)) + list(end)).encode()


# name: (body, status, fault, pattern of the message)
WRONG = {
    "nothing": (b"", 400, "json", "as JSON"),
    "no JSON": (b'{"rows": [[1, 2', 400, "json", "as JSON"),
    "no text": (b"\xff\xfe\x00\xd8", 400, "json", "as JSON"),
    "deep lists": (b"[" * 200_000, 400, "json", "as JSON"),
    "an endless integer": (row("9" * 5000), 400, "json", "as JSON"),
    "a list": (b"[[1, 2]]", 422, "rows", 'object with "rows"'),
    "no rows": (b'{"x": []}', 422, "rows", 'object with "rows"'),
    "another name": (row()[:-1] + b', "batch_size": 3}', 422, "rows", "'batch_size' too"),
    "a number": (b'{"rows": 3}', 422, "type", "rows: expected a list of rows, got 3"),
    "null": (b'{"rows": null}', 422, "type", "got null"),
    "an object": (b'{"rows": {"a": [1]}}', 422, "type", 'got {"a": '),
    "an empty list": (b'{"rows": []}', 422, "shape", "at least one row"),
    "a row alone": (b'{"rows": [1, 2]}', 422, "type", r"rows\[0\]: expected a list, got 1"),
    "too short": (b'{"rows": [[1, 2]]}', 422, "shape", r"rows\[0\]: expected 64 entries, got 2"),
    "too long": (row("1, 1"), 422, "shape", r"rows\[0\]: expected 64 entries, got 65"),
    "ragged": (
        row()[:-2] + b", [1]]}",
        422,
        "shape",
        r"rows\[1\]: expected 64 entries, got 1",
    ),
    "a word": (row('"1"'), 422, "type", r'rows\[0\]\[63\]: expected a number, got "1"'),
    "a bool": (row("true", "1"), 422, "type", r"rows\[0\]\[62\]: expected a number, got true"),
    "a missing number": (row("null"), 422, "type", r"rows\[0\]\[63\]: .* got null"),
    "a list for a number": (row("[1]"), 422, "type", r"rows\[0\]\[63\]: .* got \[1\]"),
    "NaN": (row("NaN", "1"), 422, "number", "nan at row 0, column 62"),
    "infinity": (row("-Infinity"), 422, "number", "-inf at row 0, column 63"),
    "beyond float64": (row("1e999"), 422, "number", "inf at row 0, column 63"),
    "beyond float32": (row("1e39"), 422, "number", r"float32.*1e\+39 at row 0, column 63"),
    "a large integer": (row("9" * 400), 422, "number", "rows: a whole number is too large"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_questions(service, case):
    body, status, fault, message = WRONG[case]
    found, told = service.ask("/predict", body)
    assert (found, told["error"]["fault"]) == (status, fault), told
    assert re.search(message, told["error"]["message"]), told
    assert service.ask("/predict", row())[0] == 200


def test_limits_of_size(service, serve):
    many = b'{"rows": [%s]}' % b", ".join([b"[1]"] * (serve.MOST_ROWS + 1))
    status, told = service.ask("/predict", many)
    assert (status, told["error"]["fault"]) == (413, "size")
    assert f"at most {serve.MOST_ROWS} rows, got {serve.MOST_ROWS + 1}" in told["error"]["message"]
    connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
    connection.request("POST", "/predict", headers={"Content-Length": str(1 << 40)})
    response = connection.getresponse()
    assert response.status == 413
    assert "bytes" in json.loads(response.read())["error"]["message"]
    connection.close()


def test_a_text_of_unknown_length_is_cut_off(service, serve):
    connection = HTTPConnection("127.0.0.1", service.port, timeout=30)
    parts = (b" " * (1 << 20) for _ in range((serve.MOST_BYTES >> 20) + 8))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may hang up early
        connection.request("POST", "/predict", parts, encode_chunked=True)
        assert connection.getresponse().status == 413
    connection.close()
    assert service.ask("/health", method="GET")[0] == 200


def test_other_paths_and_methods(service):
    assert service.ask("/nowhere")[0] == 404
    status, told = service.ask("/predict", method="GET")
    assert (status, told["error"]["fault"]) == (405, "http")


# -- the end


def test_a_client_that_leaves_is_no_failure():
    found = Service()
    with socket.create_connection(("127.0.0.1", found.port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        assert found.ask("/health", method="GET")[0] == 200  # the question is being read
    assert found.ask("/predict", rows_of(np.ones((1, 64))))[0] == 200
    found.end()
    assert "Traceback" not in found.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_what_was_asked_and_ends(number):
    """A question whose text has come in part before the signal."""
    found = Service()
    body = rows_of(np.ones((2000, 64)))
    connection = HTTPConnection("127.0.0.1", found.port, timeout=30)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:1000])
    assert found.ask("/health", method="GET")[0] == 200  # the one before is being read
    found.process.send_signal(number)
    time.sleep(0.3)
    connection.send(body[1000:])
    response = connection.getresponse()
    assert response.status == 200
    assert len(json.loads(response.read())["outputs"]) == 2000
    connection.close()
    found.process.wait(30)
    # uvicorn sends itself the signal again once all is done.
    assert found.end() in (0, -number)
    assert "Traceback" not in found.said


# -- questions together


class Counting:
    """A predictor that notes how many rows each call has; slow, and wrong about some rows."""

    input_shape: Any = (2,)
    output_shape: Any = (1,)

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.calls.append(len(x))
        time.sleep(0.02)
        if (x < 0).any():
            raise ValueError("x: expected no negative numbers")
        return x.sum(axis=1, keepdims=True)


def asked(answers: Any, questions: list[Any]) -> list[Any]:
    """The answers, or exceptions, of questions that come at once."""

    async def main() -> list[Any]:
        tasks = [answers.to(question) for question in questions]
        return await asyncio.gather(*tasks, return_exceptions=True)

    try:
        return asyncio.run(main())
    finally:
        answers.close()


def test_questions_that_wait_are_answered_together(serve):
    predict = Counting()
    answers = serve.Answers(predict)
    predict.calls.clear()
    questions = [np.full((1 + i % 3, 2), float(i)) for i in range(20)]
    found = asked(answers, questions)
    for question, answer in zip(questions, found, strict=True):
        np.testing.assert_array_equal(answer, question.sum(axis=1, keepdims=True))
    # All are there when the thread takes the first.
    assert predict.calls == [sum(len(q) for q in questions)]


def test_no_more_rows_together_than_the_limit(serve):
    predict = Counting()
    answers = serve.Answers(predict)
    predict.calls.clear()
    questions = [np.ones((100, 2))] * 6 + [np.ones((700, 2))]
    found = asked(answers, questions)
    assert [len(answer) for answer in found] == [100] * 6 + [700]
    assert predict.calls == [200, 200, 200, 700]


def test_one_wrong_question_does_not_spoil_the_others(serve):
    answers = serve.Answers(Counting())
    questions = [np.ones((2, 2)), -np.ones((1, 2)), np.ones((3, 2))]
    first, second, third = asked(answers, questions)
    assert isinstance(second, ValueError)
    assert (len(first), len(third)) == (2, 3)


def test_too_many_questions_are_refused(serve):
    answers = serve.Answers(Counting())
    found = asked(answers, [np.ones((1, 2))] * (serve.MOST_WAITING + 3))
    refused = [answer for answer in found if isinstance(answer, serve.Wrong)]
    assert len(refused) == 3
    assert {wrong.status for wrong in refused} == {503}


def test_short_answers_are_given_at_once(serve):
    model = fastnn.Sequential([layers.Dense(1, input_shape=(2,))])
    answers = serve.Answers(model.predictor())
    assert answers.seconds < serve.SHORT
    assert len(asked(answers, [np.ones((1, 2))] * 3)) == 3
    assert answers._turn is None


def several() -> fastnn.Model:
    a, b = fastnn.Input((3,), name="a"), fastnn.Input((2, 2), name="b")
    h = layers.Concatenate()([a, layers.Flatten()(b)])
    return fastnn.Model(
        {"a": a, "b": b}, {"kind": layers.Dense(2, "softmax")(h), "size": layers.Dense(1)(h)}
    )


def responses(app: Any, bodies: list[bytes]) -> list[tuple[int, Any]]:
    """What the service answers to questions that come at once, without a network."""

    async def one(body: bytes) -> tuple[int, Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/predict",
            "headers": [],
            "query_string": b"",
        }
        await app(scope, receive, send)
        return sent[0]["status"], json.loads(b"".join(part["body"] for part in sent[1:]))

    async def main() -> list[tuple[int, Any]]:
        return await asyncio.gather(*map(one, bodies))

    return asyncio.run(main())


@pytest.mark.parametrize("batches", [False, True])
def test_several_inputs_and_outputs(serve, batches):
    model = several()
    app = serve.make_app(model, batches=batches)
    x = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones((2, 2, 2))}
    expected = model.predict(x)
    body = json.dumps({"rows": {name: part.tolist() for name, part in x.items()}}).encode()
    for status, told in responses(app, [body] * 3):
        assert status == 200
        assert list(told["outputs"]) == ["kind", "size"]
        for name, part in expected.items():
            np.testing.assert_array_equal(np.array(told["outputs"][name], np.float32), part)
    wrong = (
        {"a": [[1, 2, 3]]},
        {"a": [[1, 2, 3]], "b": [[[1, 2], [3, "4"]]]},
        {"a": [[1, 2, 3]] * 2, "b": [[[1, 2], [3, 4]]]},
    )
    found = responses(app, [json.dumps({"rows": rows}).encode() for rows in wrong])
    messages = [told["error"]["message"] for _, told in found]
    assert [status for status, _ in found] == [422] * 3
    assert messages[0] == "rows: expected an object of a, b"
    assert messages[1] == "rows['b'][0][1][1]: expected a number, got \"4\""
    assert "as many rows" in messages[2]


def test_outputs_that_json_cannot_hold(serve):
    model = fastnn.Sequential([layers.Dense(1, input_shape=(2,))])
    model.set_weights([np.full((2, 1), 1e30), np.zeros(1)])
    ((status, told),) = responses(serve.make_app(model), [b'{"rows": [[1e30, 1e30]]}'])
    assert (status, told["error"]["fault"]) == (422, "number")
    assert told["error"]["message"] == "rows: the outputs for these rows are not finite"


# -- from a file


def test_a_model_from_a_file(tmp_path):
    model = fastnn.Sequential([layers.Dense(3, "softmax", input_shape=(4,))])
    model.save(tmp_path / "model.safetensors")
    found = Service("--model", str(tmp_path / "model.safetensors"))
    try:
        x = np.arange(8.0).reshape(2, 4)
        status, answer = found.ask("/predict", rows_of(x))
    finally:
        found.end()
    assert status == 200
    np.testing.assert_array_equal(np.array(answer["outputs"], np.float32), model.predict(x))
