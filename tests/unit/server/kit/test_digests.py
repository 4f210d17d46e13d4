from __future__ import annotations

from landloom.server.kit.digests import digest, new_secret, preview, without_secrets


def test_a_key_in_a_text_is_cut_to_its_preview():
    first, second = new_secret(), new_secret()
    text = f"/runs/{first}?a={second}, and {first}."
    shown = without_secrets(text)
    assert shown == f"/runs/{preview(first)}?a={preview(second)}, and {preview(first)}."
    assert first not in shown
    assert second not in shown


def test_other_texts_stay_as_they_are():
    for text in ("", "all_well", "ll_short", digest("x"), "pull_request_number_1234567890"[:20]):
        assert without_secrets(text) == text
