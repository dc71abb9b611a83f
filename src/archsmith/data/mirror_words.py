"""Class names for which left and right matter: two of them are mirror images of each other, or one
names a side."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# by language; each is a side wherever it stands in a name
_SIDES = (
    ("left", "right"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("lefthand", "righthand"),
    ("lhs", "rhs"),
    ("links", "rechts"),
    ("linke", "rechte"),
    ("linker", "rechter"),
    ("linkes", "rechtes"),
    ("linken", "rechten"),
    ("gauche", "droite"),
    ("gauche", "droit"),
    ("izquierda", "derecha"),
    ("izquierdo", "derecho"),
    ("izq", "der"),
    ("esquerda", "direita"),
    ("esquerdo", "direito"),
    ("sinistra", "destra"),
    ("sinistro", "destro"),
    ("esquerra", "dreta"),
    ("vanster", "hoger"),
    ("venstre", "hojre"),
    ("venstre", "hoyre"),
    ("venstre", "høyre"),
    ("venstre", "højre"),
    ("vasen", "oikea"),
    ("lewo", "prawo"),
    ("lewy", "prawy"),
    ("lewa", "prawa"),
    ("levo", "pravo"),
    ("levy", "pravy"),
    ("vlevo", "vpravo"),
    ("vasak", "parem"),
    ("bal", "jobb"),
    ("stanga", "dreapta"),
    ("sol", "sag"),
    ("sol", "sağ"),
    ("kiri", "kanan"),
    ("trai", "phai"),
    ("лево", "право"),
    ("левый", "правый"),
    ("левая", "правая"),
    ("налево", "направо"),
    ("влево", "вправо"),
    ("слева", "справа"),
    ("ліворуч", "праворуч"),
    ("αριστερα", "δεξια"),
    ("يسار", "يمين"),
    ("שמאל", "ימין"),
    ("左", "右"),
    ("왼쪽", "오른쪽"),
    ("बाएं", "दाएं"),
    ("ซ้าย", "ขวา"),
    ("clockwise", "counterclockwise"),
    ("clockwise", "anticlockwise"),
    ("cw", "ccw"),
    ("dextral", "sinistral"),
    ("lhd", "rhd"),
    ("sinister", "dexter"),
    ("ltr", "rtl"),
    ("lhand", "rhand"),
    ("leftside", "rightside"),
    ("lefty", "righty"),
    ("westward", "eastward"),
    ("westbound", "eastbound"),
    ("larboard", "starboard"),
)
_ALONE = frozenset(  # of those above: too short or too usual to mean a side without the other one
    (
        "der",
        "sol",
        "sag",
        "sağ",
        "bal",
        "links",
        "droit",
        "dreta",
        "parem",
        "stanga",
        "izq",
        "cw",
        "ccw",
        "destro",
        "lefty",
    )
)
_NO_SIDE = re.compile(r"right (whale|angle|triangle)")
_LETTERS = (("b", "d"), ("p", "q"))  # small ones
# sides only where the other one is a class too
_PAIRS = (
    ("l", "r"),
    ("lh", "rh"),
    ("sx", "dx"),
    ("lx", "rx"),
    ("l1", "r1"),
    ("l2", "r2"),
    ("3oclock", "9oclock"),
    ("le", "ri"),
    ("lt", "rt"),
    ("lft", "rgt"),
    ("east", "west"),
    ("e", "w"),
    ("ne", "nw"),
    ("se", "sw"),
    ("northeast", "northwest"),
    ("southeast", "southwest"),
    ("ost", "west"),
    ("o", "w"),
    ("no", "nw"),
    ("so", "sw"),
    ("est", "ouest"),
    ("este", "oeste"),
    ("est", "ovest"),
    ("leste", "oeste"),
    ("восток", "запад"),
    ("東", "西"),
    ("东", "西"),
    ("od", "os"),
    ("port", "starboard"),
    ("s", "z"),
    ("forward slash", "backslash"),
    ("slash", "backslash"),
    ("next", "previous"),
    ("next", "prev"),
    ("<", ">"),
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("/", "\\"),
    ("«", "»"),
    ("‹", "›"),
    ("less", "greater"),
    ("lt", "gt"),
    ("<-", "->"),
    ("<--", "-->"),
    ("<=", "=>"),
    ("cw", "acw"),
    ("waxing", "waning"),
    ("first quarter", "last quarter"),
    ("first quarter", "third quarter"),
)
_ARROWS = re.compile(
    "(LEFT|RIGHT|CLOCKWISE|EAST|WEST).*(ARROW|POINTER|TRIANGLE|INDEX|HARPOON)|(ARROW|POINTER).*(LEFT|RIGHT)"
)


def sided(names: Sequence[str]) -> str:
    """Why left and right matter for classes of these names, "" where no name says so."""
    folded = {_folded(name): name for name in names}
    alone = {_folded(word) for pair in _SIDES for word in pair if word not in _ALONE}
    pairs = [(_folded(first), _folded(second)) for first, second in (*_SIDES, *_PAIRS)]
    # a, b, c, d only count
    plain = {} if "".join(sorted(names)) in "abcdefgh" else {_spaced(name): name for name in names}
    for known, words in ((folded, pairs), (plain, _LETTERS)):
        for name, shown in known.items():
            other = next(
                (other for pair in words if (other := _swapped(name, pair)) in known), None
            )
            if other is not None:
                return (
                    f"the classes {shown!r} and {known[other]!r} are mirror images of each "
                    f"other by name"
                )
    for name, shown in folded.items():
        text = _NO_SIDE.sub("", name)
        word = next(
            (
                word
                for word in alone
                if (word in text if not word.isascii() else word in _words(text))
            ),
            None,
        )
        if word is not None:
            return f"the class {shown!r} names a side ({word})"
        if any(_ARROWS.search(unicodedata.name(sign, "")) for sign in name if ord(sign) > 127):
            return f"the class {shown!r} is an arrow to one side"
    return ""


def _folded(name: str) -> str:
    """Lower case, accents off, words of camelCase apart, every gap one space."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    bare = "".join(
        sign for sign in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(sign)
    )
    return _spaced(unicodedata.normalize("NFKC", bare).casefold())


def _spaced(name: str) -> str:
    return re.sub(r"(?<=[^\W_])[\s_.\-]+(?=[^\W_])", " ", name).strip()


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name)


def _swapped(name: str, pair: tuple[str, str]) -> str | None:
    """The name with each side in place of the other; long words also within words (turnleft), short
    ones by themselves."""
    first, second = pair
    if len(first) > 3 and len(second) > 3 or not name.isascii():
        pattern = f"{re.escape(max(pair, key=len))}|{re.escape(min(pair, key=len))}"
    else:
        pattern = "|".join(
            rf"(?<!\w){re.escape(word)}(?!\w)" for word in sorted(pair, key=len, reverse=True)
        )
    swapped, count = re.subn(
        pattern, lambda match: second if match.group() == first else first, name
    )
    return swapped if count else None
