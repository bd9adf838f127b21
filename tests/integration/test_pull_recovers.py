"""Does a pull get over what a registry does wrong for a while, on the command line?

Each test types `pyrunc pull`; what has come once is not fetched again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest

from tests.harness.engine import Engine
from tests.harness.registry_double import (
    Fault,
    Request,
    range_start,
    running_double,
)
from tests.integration.pulls import (
    READ_BYTES,
    SOON_SECONDS,
    Field,
    answer,
    busy,
    engine_with_an_image,
    is_layer,
    layer_starts,
    once,
    partials,
    send_bare,
    send_part,
    type_pull,
    wait_until,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engine_with_an_image() as engine:
        yield engine


@pytest.fixture
def field(engine: Engine) -> Iterator[Field]:
    with running_double() as double:
        yield Field(engine, double)


# -- what is recovered from --------------------------------------------------------------------


def reset_at_80_percent(field: Field) -> Fault:
    def fault(request: Request) -> bool:
        if not is_layer(request, field.double):
            return False
        send_part(request, field.double, field.sent())
        wait_until(lambda: partials(field.engine.root)[field.layer] >= field.sent() - READ_BYTES)
        request.reset()
        return True

    return fault


def cut_at_80_percent(field: Field) -> Fault:
    def fault(request: Request) -> bool:
        if not is_layer(request, field.double):
            return False
        request.handler.close_connection = True
        send_part(request, field.double, field.sent())
        return True

    return fault


def silent_at_80_percent(field: Field) -> Fault:
    def fault(request: Request) -> bool:
        if not is_layer(request, field.double):
            return False
        send_part(request, field.double, field.sent())
        time.sleep(SOON_SECONDS * 4 / 3)
        return True

    return fault


def no_length_and_cut(field: Field) -> Fault:
    def fault(request: Request) -> bool:
        if not is_layer(request, field.double):
            return False
        send_bare(request, field.double.blobs[field.layer][: field.sent()])
        return True

    return fault


@pytest.mark.parametrize(
    "prepare", [reset_at_80_percent, cut_at_80_percent, silent_at_80_percent, no_length_and_cut]
)
def test_what_has_come_is_not_fetched_again(
    field: Field, prepare: Callable[[Field], Fault]
) -> None:
    field.double.faults.append(once(prepare(field)))

    done = type_pull(field.engine, field.name, is_impatient=prepare is silent_at_80_percent)

    first, second = layer_starts(field.double)
    assert (done.returncode, done.stderr) == (0, "")
    assert first == 0
    assert field.sent() - READ_BYTES <= second <= field.sent()
    assert field.has_arrived()


def test_server_without_ranges_sends_all_again(field: Field) -> None:
    field.double.has_ranges = False
    field.double.faults.append(once(cut_at_80_percent(field)))

    done = type_pull(field.engine, field.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert [start > 0 for start in layer_starts(field.double)] == [False, True]
    assert field.has_arrived()


def test_server_that_sends_another_range_is_not_believed(field: Field) -> None:
    def shifted(request: Request) -> bool:
        if not is_layer(request, field.double) or not range_start(request):
            return False
        data = field.double.blobs[field.layer][1:]
        request.answer(206, data, {"Content-Range": f"bytes 1-{len(data)}/{field.size}"})
        return True

    field.double.faults += [shifted, once(cut_at_80_percent(field))]

    done = type_pull(field.engine, field.name)

    assert (done.returncode, done.stderr) == (
        1, f"pyrunc: cannot go on with layer {field.layer}: asked for bytes from"
        f" {field.sent()} on, got 'bytes 1-{field.size - 1}/{field.size}'\n"
    )  # fmt: skip
    assert field.is_untouched()


def test_no_content_length_is_fine(field: Field) -> None:
    def bare(request: Request) -> None:
        send_bare(request, field.double.blobs[field.layer])

    answer(field, field.layer, bare)

    done = type_pull(field.engine, field.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert layer_starts(field.double) == [0]
    assert field.has_arrived()


def test_slow_server_is_waited_for_as_long_as_something_comes(field: Field) -> None:
    def drip(request: Request) -> None:
        data = field.double.blobs[field.layer]
        request.answer(200, b"", {"Content-Length": str(len(data))})
        step = len(data) // 8 + 1
        for start in range(0, len(data), step):
            time.sleep(SOON_SECONDS / 6)  # together longer than the client waits
            request.handler.wfile.write(data[start : start + step])
            request.handler.wfile.flush()

    answer(field, field.layer, drip)

    done = type_pull(field.engine, field.name, is_impatient=True)

    assert (done.returncode, done.stderr) == (0, "")
    assert layer_starts(field.double) == [0]
    assert field.has_arrived()


def test_passing_errors_are_waited_out(field: Field) -> None:
    for part, statuses in (
        ("/manifests/", (408, 429)), (field.config, (500, 502)), (field.layer, (503, 504))
    ):  # fmt: skip
        for status in statuses:
            field.double.faults.append(once(busy(status, part, Retry_After="0")))

    done = type_pull(field.engine, field.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        f"Status: Downloaded newer image for {field.name}:latest\n{field.name}:latest\n"
    )
    asked = [one.path.rpartition("/")[2] for one in field.double.requests]
    assert [asked.count(one) for one in ("latest", field.config, field.layer)] == [3, 3, 3]
    assert field.has_arrived()


def test_retry_after_is_obeyed_as_a_date_too(field: Field) -> None:
    then = formatdate(time.time() + 1, usegmt=True)
    field.double.faults.append(once(busy(429, "/manifests/", Retry_After=then)))
    begun = time.time()

    done = type_pull(field.engine, field.name)

    assert (done.returncode, done.stderr) == (0, "")
    assert int(time.time()) >= int(begun + 1)
    assert field.has_arrived()


def test_options_of_patience_are_checked(engine: Engine) -> None:
    number = engine("pull", "--retry", "-1", "127.0.0.1:1/x")
    delay = engine("pull", "--retry-delay", "1y", "127.0.0.1:1/x")
    timeout = engine("pull", "127.0.0.1:1/x", env={"PYRUNC_REGISTRY_TIMEOUT": "soon"})

    assert [one.returncode for one in (number, delay, timeout)] == [125, 125, 1]
    assert 'invalid argument "-1" for "--retry" flag: not a number from 0 to 100' in number.stderr
    assert 'invalid argument "1y" for "--retry-delay" flag: not a duration' in delay.stderr
    assert timeout.stderr == (
        "pyrunc: cannot read PYRUNC_REGISTRY_TIMEOUT 'soon': not a duration as 30s or 2m\n"
    )
