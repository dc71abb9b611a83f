"""The commands that list what there is: spaces, methods, proxies, benchmarks."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from archsmith.cli.arguments import answer
from archsmith.cli.options import Json


def spaces(json: Json = False) -> None:
    """The search spaces there are: what each is, how many networks it holds, for which images."""
    from archsmith._internal.registry import plugins
    from archsmith.spaces import SPACES

    installed = {
        name: f"installed: {point.value}"
        for name, point in plugins("space").items()
        if name not in SPACES
    }
    if json:
        entries: dict[str, Any] = {name: {"what": what} for name, what in installed.items()}
        for name, space in SPACES.items():
            forms = [form.name for form in space.formats]
            entries[name] = {
                "what": space.what,
                "networks": space.networks,
                "images": space.images,
                "formats": forms,
            }
        answer(entries)
        return
    rows = {
        name: f"{space.what}; {space.networks} networks; {space.images}"
        for name, space in SPACES.items()
    }
    _listing(
        {
            **rows,
            **installed,
            "my_model.py:Net": "your own torch.nn.Module, which holds a Choice "
            "where torch takes a number",
        },
        json,
    )


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of them, or my.py:Mine: its settings.")
    ] = None,
    json: Json = False,
) -> None:
    """The methods there are; with NAME, the settings of one."""
    from archsmith._internal.registry import listed
    from archsmith.methods import METHODS, auto, settings_of

    if name is None:
        _listing(
            {
                **listed("method", METHODS),
                "my.py:Mine": "your own, a frozen dataclass with a search(job, trained)",
            },
            json,
        )
        return
    name = auto("auto") if name == "auto" else name
    settings = settings_of(name)
    if json:
        answer(
            {
                "method": name,
                "settings": {
                    k: {"default": s.default, "what": s.text} for k, s in settings.items()
                },
            }
        )
        return
    print(METHODS[name][1] if name in METHODS else name)
    rows = {f"{s.name}={str(s.default).lower()}": f"{s.text} ({s.kind})" for s in settings.values()}
    _listing(rows, json) if rows else print("no settings")


def proxies(json: Json = False) -> None:
    """The training-free scores there are."""
    from archsmith._internal.registry import listed
    from archsmith.metrics.proxies import PROXIES

    _listing(
        {
            **listed("proxy", PROXIES),
            "my.py:score": "your own function (network, batches) -> float",
        },
        json,
    )


def benchmarks(json: Json = False) -> None:
    """List the recorded benchmarks."""
    from archsmith._internal.registry import listed
    from archsmith.recorded import BENCHMARKS

    _listing(
        {
            **listed("benchmark", BENCHMARKS),
            "my.py:table": "your own, made by recorded.benchmark.tabulated",
        },
        json,
    )


def _listing(rows: dict[str, str], json: bool) -> None:
    if json:
        answer(rows)
        return
    width = max(map(len, rows))
    for name, text in rows.items():
        print(f"{name:<{width}}  {text}")
