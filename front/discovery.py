"""The discovery document: what Google's API clients read first, to learn which methods there are."""

from collections.abc import Mapping, Sequence
from typing import Any


def discovery_document(root_url: str, attributes: Sequence[str]) -> Mapping[str, Any]:
    """The document of a front at `root_url`. It has one method, and names the attributes."""
    analyze = {
        "id": "commentanalyzer.comments.analyze",
        "path": "v1alpha1/comments:analyze",
        "flatPath": "v1alpha1/comments:analyze",
        "httpMethod": "POST",
        "description": f"Scores a comment. Attributes here: {', '.join(attributes)}.",
        "parameters": {},
        "parameterOrder": [],
        "request": {"$ref": "AnalyzeCommentRequest"},
        "response": {"$ref": "AnalyzeCommentResponse"},
    }
    anything = {"type": "object", "additionalProperties": {"type": "any"}}
    strings = {"type": "array", "items": {"type": "string"}}
    text = {"type": "string"}
    flag = {"type": "boolean"}
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "commentanalyzer:v1alpha1",
        "name": "commentanalyzer",
        "version": "v1alpha1",
        "title": "Perspective Comment Analyzer API, answered by Mimamori",
        "protocol": "rest",
        "rootUrl": f"{root_url}/",
        "baseUrl": f"{root_url}/",
        "servicePath": "",
        "batchPath": "batch",
        "parameters": {
            "key": {"type": "string", "location": "query"},
            "alt": {"type": "string", "location": "query", "default": "json"},
            "prettyPrint": {"type": "boolean", "location": "query"},
        },
        "resources": {"comments": {"methods": {"analyze": analyze}}},
        "schemas": {
            "AnalyzeCommentRequest": {
                "id": "AnalyzeCommentRequest",
                "type": "object",
                "properties": {
                    "comment": {"$ref": "TextEntry"},
                    "requestedAttributes": anything,
                    "languages": strings,
                    "spanAnnotations": flag,
                    "doNotStore": flag,
                    "clientToken": text,
                    "sessionId": text,
                    "communityId": text,
                    "context": anything,
                    "dropUnsupportedAttributes": flag,
                },
            },
            "TextEntry": {
                "id": "TextEntry",
                "type": "object",
                "properties": {"text": text, "type": text},
            },
            "AnalyzeCommentResponse": {
                "id": "AnalyzeCommentResponse",
                "type": "object",
                "properties": {
                    "attributeScores": anything,
                    "languages": strings,
                    "clientToken": text,
                    "mimamori": anything,
                },
            },
        },
    }
