from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from landloom.server.kit.text import PlainText

plain_text = TypeAdapter[str](PlainText)


@pytest.mark.parametrize("text", ["", "plain", "Łódź", "emoji \U0001f33e", "a\nb"])
def test_what_can_be_stored_is_kept(text: str):
    assert plain_text.validate_python(text) == text


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "half \udfff"])
def test_what_cannot_be_stored_is_refused(text: str):
    with pytest.raises(ValidationError, match="must not hold"):
        plain_text.validate_python(text)
