"""A service that answers questions about rows by HTTP, with Starlette and uvicorn: the extra `serve`.

    python examples/serve.py --model model.safetensors
    curl localhost:8000/predict -d '{"rows": [[5.1, 3.5, 1.4, 0.2]]}'
    {"outputs": [[0.97, 0.02, 0.01]]}

Without `--model` it trains a network on the handwritten digits that come with the package, whose
rows have 64 numbers from 0 to 16. `rows` of a model with several inputs is a list or an object of
such lists, and `outputs` has the structure that `predict` gives. GET /health tells the shapes.

A question that is wrong gets a status of 4xx and {"error": {"fault": ..., "message": ...}}, which
names the place of a wrong number. SIGTERM and Ctrl-C let questions that have come be answered.

Rows are answered one by one where that takes less time than to hand them to a thread: a row of
784-128-10 takes 2 to 4 us, and the request around it some 250 us. Longer answers are given in a
thread, and questions that come meanwhile are answered together in the next call. This pays where a
model does not fit into the processor's caches, since its weights are then read once for all rows:
with 784-4096-4096-10 (80 MB) and 32 clients, 4.7 times as many requests a second, and 1.0 to 1.2
times with 784-128-10. No question waits for others to come. `python -m benchmarks.serve` measures
it.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import fastnn
from fastnn import layers

MOST_ROWS = 10_000  # of a question
MOST_BYTES = 16 << 20  # of its text
MOST_TOGETHER = 256  # rows that are answered in one call, unless a question has more
MOST_WAITING = 1000  # questions
SECONDS_TO_ASK = 10.0  # until the whole text of a question must have come
SHORT = 200e-6  # seconds: longer answers are left to a thread


class Wrong(Exception):
    """A question that cannot be answered: the status, a word for the fault, and what it is."""

    def __init__(self, status: int, fault: str, message: str) -> None:
        super().__init__(message)
        self.status, self.fault = status, fault


# -- questions


async def text_of(request: Request, most: int) -> bytes:
    """The body of a request, of which no more than `most` bytes are kept."""
    too_long = Wrong(413, "size", f"expected at most {most} bytes, got more")
    with contextlib.suppress(ValueError):
        if int(request.headers.get("content-length", "0")) > most:
            raise too_long
    text = bytearray()
    try:
        async with asyncio.timeout(SECONDS_TO_ASK):
            async for part in request.stream():
                text += part
                if len(text) > most:
                    raise too_long
    except TimeoutError:
        raise Wrong(408, "time", f"no whole question in {SECONDS_TO_ASK:g} s") from None
    return bytes(text)


def question_in(text: bytes) -> Any:
    """The value of "rows"."""
    try:
        asked = json.loads(text)  # NaN too: the answer to it names its place
    except (ValueError, RecursionError) as error:
        raise Wrong(400, "json", f"expected a question as JSON: {error}") from None
    if not isinstance(asked, dict) or "rows" not in asked:
        raise Wrong(422, "rows", 'expected an object with "rows", as {"rows": [[1, 2], [3, 4]]}')
    if unknown := set(asked) - {"rows"}:
        raise Wrong(422, "rows", f'expected "rows" alone, got {", ".join(sorted(unknown))!r} too')
    return asked["rows"]


def shown(value: Any) -> str:
    words = json.dumps(value)
    return words if len(words) <= 40 else f"{words[:40]}..."


def check_numbers(where: str, value: Any, shape: tuple[int, ...]) -> None:
    """Wrong where `value` is no nested list of numbers of this shape; names the place."""
    if not shape:
        if type(value) not in (int, float):
            raise Wrong(422, "type", f"{where}: expected a number, got {shown(value)}")
        return
    if not isinstance(value, list):
        raise Wrong(422, "type", f"{where}: expected a list, got {shown(value)}")
    if len(value) != shape[0]:
        raise Wrong(422, "shape", f"{where}: expected {shape[0]} entries, got {len(value)}")
    # A row of numbers is seen at once; only one that has something else is looked at by number.
    if len(shape) > 1 or not {*map(type, value)} <= {int, float}:
        for i, entry in enumerate(value):
            check_numbers(f"{where}[{i}]", entry, shape[1:])


def array_of(where: str, value: Any, shape: tuple[int, ...], most: int) -> np.ndarray:
    """Rows (n, *shape) of float64 from nested lists."""
    if not isinstance(value, list):
        raise Wrong(422, "type", f"{where}: expected a list of rows, got {shown(value)}")
    if not value:
        raise Wrong(422, "shape", f"{where}: expected at least one row, got none")
    if len(value) > most:
        raise Wrong(413, "size", f"{where}: expected at most {most} rows, got {len(value)}")
    check_numbers(where, value, (len(value), *shape))
    try:
        return np.array(value, np.float64).reshape(len(value), *shape)
    except OverflowError:
        raise Wrong(422, "number", f"{where}: a whole number is too large for a float") from None


def arrays_of(rows: Any, shapes: Any, most: int) -> Any:
    """The question for `predict`: an array, or several in the structure of `shapes`."""
    if isinstance(shapes, tuple):
        return array_of("rows", rows, shapes, most)
    if isinstance(shapes, dict):
        if not isinstance(rows, dict) or set(rows) != set(shapes):
            raise Wrong(422, "rows", f"rows: expected an object of {', '.join(shapes)}")
        found = {k: array_of(f"rows[{k!r}]", rows[k], shapes[k], most) for k in shapes}
    else:
        if not isinstance(rows, list) or len(rows) != len(shapes):
            raise Wrong(422, "rows", f"rows: expected a list of {len(shapes)} inputs")
        found = {i: array_of(f"rows[{i}]", rows[i], shapes[i], most) for i in range(len(shapes))}
    counts = {len(part) for part in found.values()}
    if len(counts) > 1:
        raise Wrong(422, "shape", f"rows: expected as many rows in each input, got {counts}")
    return found if isinstance(shapes, dict) else list(found.values())


# -- answers


def parts(structure: Any) -> list[Any]:
    """The arrays of a structure, in order."""
    if isinstance(structure, dict):
        return list(structure.values())
    return list(structure) if isinstance(structure, (list, tuple)) else [structure]


def like(structure: Any, arrays: list[Any]) -> Any:
    """The structure with other arrays."""
    if isinstance(structure, dict):
        return dict(zip(structure, arrays, strict=True))
    return arrays if isinstance(structure, (list, tuple)) else arrays[0]


def as_lists(outputs: Any) -> Any:
    """The arrays of a structure as nested lists."""
    if not all(np.isfinite(part).all() for part in parts(outputs)):
        raise Wrong(422, "number", "rows: the outputs for these rows are not finite")
    return like(outputs, [part.tolist() for part in parts(outputs)])


class Asked(NamedTuple):
    """A question that waits."""

    question: Any
    rows: int
    answer: asyncio.Future[Any]


class Answers:
    """Asks `predict` about rows: at once where that is short, else in a thread, several together."""

    def __init__(self, predict: Any, batches: bool | None = None) -> None:
        self.predict = predict
        self.seconds = seconds_of_a_row(predict)
        self.batches = batches  # None: as the time of a row says
        self._waiting: collections.deque[Asked] = collections.deque()
        self._turn: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1)

    async def to(self, question: Any) -> Any:
        rows = len(parts(question)[0])
        in_thread = rows * self.seconds > SHORT if self.batches is None else self.batches
        if not in_thread:
            return self.predict(question)
        if len(self._waiting) >= MOST_WAITING:
            raise Wrong(503, "load", f"{MOST_WAITING} questions wait already; ask again later")
        asked = Asked(question, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._turn is None:
            self._turn = asyncio.create_task(self._answer_all())
        return await asked.answer

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                taken = [self._waiting.popleft()]
                rows = taken[0].rows
                while self._waiting and rows + self._waiting[0].rows <= MOST_TOGETHER:
                    taken.append(self._waiting.popleft())
                    rows += taken[-1].rows
                await self._answer(taken)
        finally:
            self._turn = None

    async def _answer(self, taken: list[Asked]) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._thread, self._call, taken)
        except Exception as error:  # noqa: BLE001 - the one that asked gets it
            if len(taken) > 1:  # the question that is wrong must not spoil the others
                for asked in taken:
                    await self._answer([asked])
            elif not taken[0].answer.done():
                taken[0].answer.set_exception(error)
            return
        for asked, outputs in zip(taken, found, strict=True):
            if not asked.answer.done():
                asked.answer.set_result(outputs)

    def _call(self, taken: list[Asked]) -> list[Any]:
        questions = [asked.question for asked in taken]
        if len(questions) == 1:
            return [self.predict(questions[0])]
        columns = zip(*map(parts, questions), strict=True)
        outputs = self.predict(like(questions[0], [np.concatenate(one) for one in columns]))
        ends = np.cumsum([asked.rows for asked in taken])[:-1]
        pieces = zip(*[np.split(part, ends) for part in parts(outputs)], strict=True)
        return [like(outputs, list(piece)) for piece in pieces]

    def close(self) -> None:
        self._thread.shutdown()


def seconds_of_a_row(predict: Any) -> float:
    """The least time of a few answers for one row of zeros."""
    shapes = predict.input_shape
    if isinstance(shapes, tuple):
        row: Any = np.zeros((1, *shapes))
    else:
        row = like(shapes, [np.zeros((1, *shape)) for shape in parts(shapes)])
    found = []
    for _ in range(7):
        begin = time.perf_counter()
        predict(row)
        found.append(time.perf_counter() - begin)
    return min(found)


# -- the service


def error_response(status: int, fault: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"fault": fault, "message": message}}, status)


async def tell_wrong(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Wrong)
    return error_response(error.status, error.fault, str(error))


async def tell_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    response = error_response(error.status_code, "http", error.detail)
    response.headers.update(error.headers or {})
    return response


async def tell_nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # the client went away before all of its question had come


async def tell_failure(_: Request, __: Exception) -> JSONResponse:
    return error_response(500, "failure", "the question could not be answered")


def app_of(predict: Any, *, batches: bool | None = None, most_rows: int = MOST_ROWS) -> Starlette:
    """The service over anything that is called as a `fastnn.Predictor` is.

    Args:
        predict: has `input_shape` and `output_shape`, and raises ValueError and TypeError for
            questions that are wrong.
        batches: whether questions are answered in a thread, several together; None: those that take
            more than SHORT seconds.
        most_rows: of one question.
    """
    answers = Answers(predict, batches)

    async def ask(request: Request) -> JSONResponse:
        question = question_in(await text_of(request, MOST_BYTES))
        found = arrays_of(question, predict.input_shape, most_rows)
        try:
            outputs = await answers.to(found)
        except (TypeError, ValueError) as error:
            raise Wrong(422, "number", str(error).replace("x", "rows", 1)) from None
        return JSONResponse({"outputs": as_lists(outputs)})

    async def health(_: Request) -> JSONResponse:
        return JSONResponse(
            {
                "status": "ok",
                "input_shape": predict.input_shape,
                "output_shape": predict.output_shape,
                "most_rows": most_rows,
                "fastnn": fastnn.__version__,
            }
        )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        answers.close()

    return Starlette(
        routes=[
            Route("/predict", ask, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
        ],
        exception_handlers={
            Wrong: tell_wrong,
            HTTPException: tell_http,
            ClientDisconnect: tell_nobody,
            Exception: tell_failure,
        },
        lifespan=lifespan,
    )


def make_app(model: Any, **options: Any) -> Starlette:
    """The service over a model as it is now; see `app_of`."""
    return app_of(model.predictor(), **options)


def trained_on_digits() -> fastnn.Sequential:
    x, y = fastnn.datasets.load_digits()
    model = fastnn.Sequential(
        [
            layers.Input((x.shape[1],)),
            layers.Rescaling(1 / 16),
            layers.Dense(128, "relu"),
            layers.Dense(10, "softmax"),
        ],
        seed=1,
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=20, verbose=0)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a file that model.save wrote; default: trained on digits")
    parser.add_argument(
        "--host", default="127.0.0.1", help="default: %(default)s, this machine alone"
    )
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0: any")
    asked = parser.parse_args()
    model = fastnn.load_model(asked.model) if asked.model else trained_on_digits()
    uvicorn.run(
        make_app(model),
        host=asked.host,
        port=asked.port,
        access_log=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
