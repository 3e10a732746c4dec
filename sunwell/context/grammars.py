"""What source in other languages than Python defines, if ``sunwell[grammars]`` is installed."""

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

import attrs

_GRAMMARS = {
    ".js": ("tree_sitter_javascript", "language"),
    ".jsx": ("tree_sitter_javascript", "language"),
    ".mjs": ("tree_sitter_javascript", "language"),
    ".cjs": ("tree_sitter_javascript", "language"),
    ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"),
    ".go": ("tree_sitter_go", "language"),
    ".rs": ("tree_sitter_rust", "language"),
    ".java": ("tree_sitter_java", "language"),
}
_HOLDERS = frozenset(
    {"class_declaration", "abstract_class_declaration", "class", "interface_declaration", "enum_declaration"}
    | {"record_declaration", "impl_item", "trait_item", "mod_item", "internal_module", "module"}
)
"""Kinds of nodes that define something and hold definitions."""
_KINDS = (
    _HOLDERS
    | {"function_declaration", "generator_function_declaration", "method_definition", "method_declaration"}
    | {"constructor_declaration", "type_alias_declaration", "type_spec", "function_item", "struct_item"}
    | {"enum_item", "type_item", "macro_definition", "abstract_method_signature", "method_signature"}
)
_PASSED = frozenset(
    {"program", "source_file", "export_statement", "type_declaration", "class_body", "interface_body"}
    | {"enum_body", "enum_body_declarations", "declaration_list", "statement_block", "ambient_declaration"}
    | {"lexical_declaration", "variable_declaration", "expression_statement", "object_type", "ERROR"}
)
"""Kinds that hold definitions and are none."""
_FUNCTIONS = frozenset({"arrow_function", "function_expression", "function"})
_DEEPEST = 40


@attrs.frozen
class Parsed:
    """A definition as a grammar sees it; lines count from 1."""

    name: str
    head: str
    first_line: int
    last_line: int
    depth: int


def parsed(path: str, text: str) -> tuple[Parsed, ...] | None:
    """Return what *text* defines, in order; ``None`` if there is no grammar for a file of this name."""
    parser = _parser("." + path.lower().rpartition(".")[2])
    if parser is None:
        return None
    data = text.encode("utf-8", "replace")
    return tuple(_definitions(parser.parse(data).root_node, data))


@lru_cache(maxsize=32)
def _parser(ending: str) -> Any:
    if ending not in _GRAMMARS:
        return None
    module, language = _GRAMMARS[ending]
    try:
        sitter, grammar = import_module("tree_sitter"), import_module(module)
        return sitter.Parser(sitter.Language(getattr(grammar, language)()))
    except (ImportError, AttributeError, ValueError, TypeError):  # not installed, or versions that do not fit
        return None


def _definitions(root: Any, data: bytes) -> Iterator[Parsed]:
    waiting = [(root, 0, 0)]  # node, depth among definitions, depth in the tree
    while waiting:
        node, depth, below = waiting.pop()
        if below > _DEEPEST:
            continue
        if node.type in _PASSED:
            waiting += [(child, depth, below + 1) for child in reversed(node.named_children)]
            continue
        body = node.child_by_field_name("body")
        if node.type == "variable_declarator":  # const find = (id) => …
            value = node.child_by_field_name("value")
            if value is None or value.type not in _FUNCTIONS:
                continue
            body = value.child_by_field_name("body")
        elif node.type not in _KINDS:
            continue
        named = node.child_by_field_name("name") or node.child_by_field_name("type")
        if named is None:
            continue
        end = node.end_byte if body is None else body.start_byte
        first, last = node.start_point[0] + 1, node.end_point[0] + 1
        head = data[node.start_byte : end].decode("utf-8", "replace")
        if node.type == "type_spec":  # the fields of a struct in Go have no node of their own here
            head = head.partition("{")[0]
        yield Parsed(_text(named, data), head, first, last, min(1, depth))
        if body is not None and node.type in _HOLDERS:
            waiting.append((body, depth + 1, below + 1))


def _text(node: Any, data: bytes) -> str:
    return " ".join(data[node.start_byte : node.end_byte].decode("utf-8", "replace").split())
