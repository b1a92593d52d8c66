"""What an HTML page of an index says: anchors and meta tags, and whether it is HTML5 in the parts that matter here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

_Attributes = list[tuple[str, str | None]]


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """One link. An attribute without a value has the value ""."""

    text: str
    attributes: dict[str, str]
    raw: str  # the start tag as it was sent
    url: str  # absolute, with its fragment

    @property
    def filename(self) -> str:
        """The last path component of the URL, decoded."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    @property
    def fragment(self) -> str:
        """What follows `#`."""
        return urldefrag(self.url).fragment

    @property
    def target(self) -> str:
        """The URL without its fragment."""
        return urldefrag(self.url).url


@dataclass(frozen=True, kw_only=True)
class HtmlPage:
    """A page."""

    doctype: str
    anchors: tuple[Anchor, ...]
    metas: dict[str, str]  # name → content
    problems: tuple[str, ...] = field(default=())


def read_html(text: str, url: str) -> HtmlPage:
    """Parse a page that came from `url`. Whatever is in it, this returns."""
    reader = _Reader(url)
    try:
        reader.feed(text)
        reader.close()
    except AssertionError as error:  # Python's parser gives up on `<![x[`
        return replace(reader.page(), problems=(*reader.page().problems, str(error)))
    return reader.page()


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self._base, self._url = url, url
        self._doctype = ""
        self._anchors: list[Anchor] = []
        self._metas: dict[str, str] = {}
        self._problems: list[str] = []
        self._open: tuple[dict[str, str], str] | None = None
        self._text: list[str] = []

    def page(self) -> HtmlPage:
        if self._open is not None:
            self._problems.append(f"{self._open[1]} is not closed")
        return HtmlPage(
            doctype=self._doctype,
            anchors=tuple(self._anchors),
            metas=self._metas,
            problems=tuple(self._problems),
        )

    def handle_decl(self, decl: str) -> None:
        self._doctype = self._doctype or decl

    def handle_starttag(self, tag: str, attrs: _Attributes) -> None:
        names = [name for name, _ in attrs]
        attributes = {name: value or "" for name, value in reversed(attrs)}  # of two with one name, the first counts
        if len(names) != len(attributes):
            self._problems.append(f"an attribute is there twice in {self.get_starttag_text()}")
        if tag == "meta" and "name" in attributes:
            self._metas.setdefault(attributes["name"].lower(), attributes.get("content", ""))
        elif tag == "base" and attributes.get("href"):
            self._base = _joined(self._url, attributes["href"])
        elif tag == "a":
            if self._open is not None:
                self._problems.append(f"{self.get_starttag_text()} is inside another anchor")
            self._open, self._text = (attributes, self.get_starttag_text() or ""), []

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag != "a":
            return
        if self._open is None:
            self._problems.append("</a> without an anchor")
            return
        attributes, raw = self._open
        self._open = None
        if "href" in attributes:
            text, url = "".join(self._text).strip(), _joined(self._base, attributes["href"].strip())
            self._anchors.append(Anchor(text=text, attributes=attributes, raw=raw, url=url))


def _joined(base: str, href: str) -> str:
    try:
        joined = urljoin(base, href)
        urlsplit(joined)
    except ValueError:  # "Invalid IPv6 URL" and the like
        return ""
    return joined
