"""Texts made harmless: records and errors hold other people's exceptions and names from other people's files."""

from __future__ import annotations

import re

# Illegal in XML 1.0 (its production Char), dangerous on a terminal: C0 and C1 controls but tab and newline,
# surrogates, and the two non-characters at the end of the plane. And marks that turn the text around them, so that a
# line reads as another one.
_ILLEGAL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]|~#])")
_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "±": r"$\pm$",
    }
)
_MINUS = re.compile(r"(?<!\w)-(?=\d)")
_REPLACEMENT = "\ufffd"


def legal(text: str) -> str:
    """With U+FFFD for each character that a terminal would obey, that turns a line around, or that no XML may hold."""
    return _ILLEGAL.sub(_REPLACEMENT, text)


def one_line(text: str) -> str:
    """`legal`, on one line."""
    return legal(" ".join(text.split()))


def markdown(text: str) -> str:
    """On one line, and read by Markdown (GitHub's, in a table too) as the text that it is."""
    harmless = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A bare address or an @name would become a link.
    return _MARKDOWN.sub(r"\\\1", harmless).replace("://", ":&#47;&#47;").replace("@", "&#64;")


def latex(text: str) -> str:
    """On one line, and set by LaTeX as the text that it is; a number's hyphen as a minus."""
    harmless = _MINUS.sub("\x00", one_line(text)).translate(_LATEX).replace("\x00", "$-$")
    # At the beginning of a table's row they would belong to the line break before.
    return f"{{}}{harmless}" if harmless.startswith(("[", "*")) else harmless
