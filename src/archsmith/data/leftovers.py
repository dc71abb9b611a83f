"""Folders that nobody means as classes: what systems, desktops and notebooks leave, bins, copies
that a file manager made."""

from __future__ import annotations

import re
from collections.abc import Sequence

# what storage boxes, desktops and version control leave
_SYSTEM = re.compile(
    r"\..*|__macosx|__pycache__|lost\+found|system volume information|network trash "
    r"folder|temporary items|recycler|recycled"
    r"|\$recycle\.bin|\$av_.*|#recycle|#snapshot|~snapshot|trash-\d+|found\.\d{3}|lightroom "
    r"previews.*|node_modules"
    r"|@eadir|@tmp|@recycle.*|@recently-snapshot|@syno.*|@__.*|@sharebin|@sharesnap|@snapshots?|@database|@appstore|@apphome",
    re.IGNORECASE,
)
_SYSTEM_FILES = re.compile(
    r"thumbs\.db|ehthumbs.*\.db|desktop\.ini|icon\r|.*@syno[a-z]*", re.IGNORECASE
)
_BINS = frozenset(
    (
        *(
            "trash",
            "trashed",
            "bin",
            "rubbish",
            "recycle bin",
            "recycling bin",
            "wastebasket",
            "deleted",
            "deleted items",
        ),
        *(
            "discard",
            "discarded",
            "reject",
            "rejects",
            "rejected",
            "unused",
            "not used",
            "old",
            "backup",
            "backups",
            "bak",
        ),
        *(
            "tmp",
            "temp",
            "delete",
            "to delete",
            "remove",
            "removed",
            "ignore",
            "ignored",
            "excluded",
            "junk",
            "garbage",
        ),
        *(
            "papierkorb",
            "gelöscht",
            "corbeille",
            "poubelle",
            "papelera",
            "papelera de reciclaje",
            "cestino",
            "lixeira",
        ),
        *(
            "prullenbak",
            "papperskorgen",
            "kosz",
            "koš",
            "корзина",
            "çöp kutusu",
            "ごみ箱",
            "回收站",
            "휴지통",
        ),
    )
)
_CLEARLY = frozenset(
    (
        "recycle bin",
        "recycling bin",
        "papelera de reciclaje",
        "deleted items",
        "to delete",
        "ごみ箱",
        "回收站",
    )
)
_COPY = (
    r"copy|copie|copia|kopie|kopia|kopija|kopi|cópia|копия|kopyası|コピー|副本|复件|사본"
    r"|duplicate|backup|bak"
)
_COPIES = (
    re.compile(
        rf"(?P<of>.+?)[\s_.-]*[-–—\s_.(]\s*({_COPY})\)?(\s*[-_ "
        rf"]?\s*\(?\d+\)?)?",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<of>.+?)(のコピー|\s*의 사본)(\s*\(?\d+\)?)?"),
    re.compile(r"(?P<of>.+?)\s*\(\d+\)"),
    re.compile(
        rf"({_COPY})(\s*\(?\d+\)?)?\s+(of|von|de|di|van|av|af|z)\s+(?P<of>.+)", re.IGNORECASE
    ),
    re.compile(r"(?P<of>.+?)~"),
)


def is_system(name: str) -> bool:
    """Whether a folder is one of the system's, or hidden."""
    return _SYSTEM.fullmatch(name) is not None


def is_system_file(name: str) -> bool:
    """Whether a file is one of the system's, or hidden."""
    return name.startswith(".") or _SYSTEM_FILES.fullmatch(name) is not None


def is_bin(name: str) -> bool:
    """Whether a folder may be where somebody threw things away: by its name alone, which a class
    may have too."""
    return " ".join(re.split(r"[\s_~.#$@!-]+", name.casefold())).strip() in _BINS


def is_clearly_bin(name: str) -> bool:
    """Whether nobody calls a class so: a bin set apart by a sign before it, or the name that a
    system gives its own."""
    plain = name.casefold().strip()
    return is_bin(name) and (
        not plain[:1].isalnum() or " ".join(re.split(r"[\s_-]+", plain)) in _CLEARLY
    )


def copies(names: Sequence[str]) -> dict[str, str]:
    """Folders that are copies of another one beside them, by their names as file managers write
    them ("cats - Copy", "cats (1)"): copy -> original."""
    known = {name.casefold(): name for name in names}
    originals = {}
    for name in names:
        for form in _COPIES:
            match = form.fullmatch(name.strip())
            original = known.get(match["of"].strip().casefold()) if match else None
            if original is not None and original != name:
                originals[name] = original
    return originals
