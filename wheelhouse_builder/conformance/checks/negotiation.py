"""Content negotiation: what was answered to each Accept header, and to `?format=`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wheelhouse_builder.conformance.model import Check, Exchange, Level, Probed, each
from wheelhouse_builder.conformance.vectors import SPEC, VECTORS, Vector, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wheelhouse_builder.conformance.model import Observed

_FORMS = {"json": frozenset({"json"}), "html": frozenset({"html", "text"})}
_LATEST = ("accept:latest-json", "accept:latest-html")


def _offered(probed: Probed) -> set[str]:
    """The formats that the page can be had in."""
    answers = {word(exchange) for name, exchange in probed.asked.items() if name.startswith("accept:")}
    return {form for form, words in _FORMS.items() if answers & words}


def _answers(vector: Vector) -> Callable[[Observed], Iterator[tuple[str, Exchange]]]:
    def subjects(observed: Observed) -> Iterator[tuple[str, Exchange]]:
        for probed in observed.probed:
            exchange = probed.asked.get(f"accept:{vector.name}")
            if exchange is not None and vector.needs <= _offered(probed):
                yield f"{probed.where} with Accept: {vector.accept or '(none)'}", exchange

    return subjects


def _judge(vector: Vector) -> Callable[[Exchange], str | None]:
    def problem(exchange: Exchange) -> str | None:
        got = word(exchange)
        return (
            None
            if got in vector.allowed
            else f"answered {exchange.told}, expected {' or '.join(sorted(vector.allowed))}"
        )

    return problem


def _latest(observed: Observed) -> Iterator[tuple[str, Exchange]]:
    for probed in observed.probed:
        for name in _LATEST:
            exchange = probed.asked.get(name)
            if exchange is not None and exchange.status == 200:
                yield f"{probed.where} with Accept: {exchange.asked.get('Accept')}", exchange


def _actual(exchange: Exchange) -> str | None:
    return f"the type is {exchange.media_type}" if "latest" in exchange.media_type else None


def _absent(observed: Observed) -> Iterator[tuple[str, tuple[Exchange, Exchange]]]:
    for probed in observed.probed:
        none, anything = probed.asked.get("accept:none"), probed.asked.get("accept:any")
        if none is not None and anything is not None:
            yield probed.where, (none, anything)


def _as_anything(pair: tuple[Exchange, Exchange]) -> str | None:
    none, anything = map(word, pair)
    return None if none == anything else f"without Accept {none}, with */* {anything}"


def _formats(observed: Observed) -> Iterator[tuple[str, tuple[str, Exchange]]]:
    """Where `?format=` is implemented: it changes what */* gets."""
    for probed in observed.probed:
        usual = word(probed.asked["accept:any"]) if "accept:any" in probed.asked else ""
        chosen = {form: word(probed.asked[f"format:{form}"]) for form in _FORMS if f"format:{form}" in probed.asked}
        if any(got in _FORMS[form] and usual not in _FORMS[form] for form, got in chosen.items()):
            for form in _FORMS.keys() & _offered(probed):
                exchange = probed.asked.get(f"format:{form}:wins")
                if exchange is not None:
                    where = f"{probed.where} with ?format= ({form}) and Accept: {exchange.asked.get('Accept')}"
                    yield where, (form, exchange)


def _wins(subject: tuple[str, Exchange]) -> str | None:
    form, exchange = subject
    got = word(exchange)
    return None if got in _FORMS[form] else f"answered {exchange.told}"


CHECKS = (
    *(
        Check(
            id=f"negotiation.{vector.name}",
            level=vector.level,
            says=vector.says,
            link=vector.link,
            examine=each(_answers(vector), _judge(vector)),
        )
        for vector in VECTORS
    ),
    Check(
        id="negotiation.latest",
        level=Level.MUST,
        says="if latest is being used, the server MUST respond with the content type for the actual version",
        link=f"{SPEC}#version-format-selection",
        examine=each(_latest, _actual),
    ),
    Check(
        id="negotiation.absent",
        level=Level.SHOULD,
        says="treating the absence of an Accept header as Accept: */*",
        link=f"{SPEC}#version-format-selection",
        examine=each(_absent, _as_anything),
    ),
    Check(
        id="negotiation.format",
        level=Level.SHOULD,
        says="When a server does implement this parameter, it SHOULD take precedence over the Accept header",
        link=f"{SPEC}#url-parameter",
        examine=each(_formats, _wins),
    ),
)
