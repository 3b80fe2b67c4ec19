"""The API page: the OpenAPI document as HTML that a person reads. No script, and nothing from elsewhere."""

import base64
import hashlib
import re
from html import escape
from typing import Any

Json = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.55 system-ui, sans-serif; margin: 0; display: grid; grid-template-columns: 16rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; box-sizing: border-box; padding: 1.5rem 1rem;
      border-right: 1px solid var(--line); font-size: 13px; }
nav ul { list-style: none; margin: .25rem 0 1rem; padding: 0; }
main { padding: 1.5rem 2.5rem 6rem; max-width: 60rem; }
a { color: inherit; text-decoration-color: var(--line); }
h1 { margin: 0 0 1rem; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin: 2rem 0 .25rem; font-size: 1rem; }
code, .path { font-family: ui-monospace, monospace; font-size: .92em; }
.verb { display: inline-block; min-width: 4.2em; font: bold .8em ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-size: 14px; }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); }
td:nth-child(1) { width: 13rem; } td:nth-child(2) { width: 11rem; }
p { margin: .25rem 0 .5rem; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
"""Lets the page load nothing but its own style."""


def render(document: Json) -> str:
    """The whole page."""
    operations = [
        (path, verb, operation) for path, verbs in document["paths"].items() for verb, operation in verbs.items()
    ]
    menu, sections = [], []
    for tag in document["tags"]:
        mine = [entry for entry in operations if tag["name"] in entry[2]["tags"]]
        links = "".join(f"<li>{_link(operation['operationId'], _rpc(operation))}</li>" for _, _, operation in mine)
        menu.append(f"<b>{escape(tag['name'])}</b><ul>{links}</ul>")
        body = "".join(_operation(*entry) for entry in mine)
        sections.append(f"<h2>{escape(tag['name'])}</h2>{_text(tag['description'])}{body}")
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}: API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f'<nav>{"".join(menu)}<b><a href="#messages">Messages</a></b></nav>'
        f"<main><h1>{title}</h1>{_text(info['description'])}"
        f'<p>The same as a document for programs: <a href="/openapi.json">openapi.json</a>.</p>'
        f'{"".join(sections)}<h2 id="messages">Messages</h2>{schemas}</main></html>'
    )


def _rpc(operation: Json) -> str:
    return str(operation["operationId"]).partition("_")[2]


def _operation(path: str, verb: str, operation: Json) -> str:
    parameters = [
        (parameter["name"], f"{_type(parameter['schema'])}, in {escape(parameter['in'])}", parameter["description"])
        for parameter in operation.get("parameters", ())
    ]
    response = operation["responses"]["200"]
    ((kind, content),) = response["content"].items()
    parts = [
        f"<h3 id={_quoted(operation['operationId'])}>{escape(_rpc(operation))}</h3>",
        f'<p class="path"><span class="verb">{escape(verb.upper())}</span>{escape(path)}</p>',
        _text(operation["description"]),
        _table(parameters),
    ]
    if body := operation.get("requestBody"):
        parts.append(f"<p>Body: {_type(body['content']['application/json']['schema'])}</p>")
    stream = f". {escape(response['description'])}" if kind != "application/json" else ""
    scopes = ", ".join(scope for way in operation["security"] for scope in way.get("key", ()))
    parts.append(f"<p>Scope of the key, where one is asked for: {escape(scopes)}</p>")
    parts.append(f"<p>Answer: {_type(content['schema'])}{stream}</p>")
    return "".join(parts)


def _schema(name: str, schema: Json) -> str:
    fields = [(key, _type(value), value.get("description", "")) for key, value in schema.get("properties", {}).items()]
    return f"<h3 id={_quoted(name)}>{escape(name)}</h3>{_text(schema.get('description', ''))}{_table(fields)}"


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Rows of a name, a type (HTML already) and a text."""
    cells = "".join(f"<tr><td><code>{escape(a)}</code></td><td>{b}</td><td>{_text(c)}</td></tr>" for a, b, c in rows)
    return f"<table>{cells}</table>" if cells else ""


def _type(schema: Json) -> str:
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return _link(name, name)
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"map to {_type(values)}"
    kind = schema.get("type", "any value")
    name = kind if isinstance(kind, str) else " or ".join(kind)
    return escape(f"{name} ({schema['format']})" if "format" in schema else name)


def _link(anchor: str, text: str) -> str:
    return f"<a href={_quoted('#' + anchor)}>{escape(text)}</a>"


def _quoted(text: str) -> str:
    return f'"{escape(text)}"'


def _text(text: str) -> str:
    """Paragraphs, with `code` in backticks; everything else is text."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return "".join(f"<p>{paragraph}</p>" for paragraph in marked.split("\n\n") if paragraph)
