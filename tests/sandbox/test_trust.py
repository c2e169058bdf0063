"""Of which images packages are imported ahead, once it went wrong."""

from __future__ import annotations

from polycall.sandbox.image import Image
from polycall.sandbox.trust import Trust

HOSTILE, OTHER = Image(revision="a", preload=("a",)), Image(revision="b", preload=("b",))


def test_an_image_is_not_trusted_for_an_hour_and_others_are() -> None:
    now = 100.0
    trust = Trust(lambda: now)
    assert trust.doubt(HOSTILE) == ""
    trust.withdraw(HOSTILE, "its zygote did not get ready")
    now += 1800
    trust.withdraw(HOSTILE, "its zygote was taken over")
    now += 3599
    assert trust.doubt(HOSTILE) == "its zygote was taken over"
    assert trust.doubt(OTHER) == ""
    now += 1
    assert trust.doubt(HOSTILE) == ""


def test_only_so_many_are_remembered_and_the_oldest_is_forgotten() -> None:
    trust = Trust(lambda: 0.0)
    images = [Image(revision=str(number)) for number in range(1024)]
    for image in [HOSTILE, *images, images[0], OTHER]:
        trust.withdraw(image, "x")
    assert [image for image in [HOSTILE, *images, OTHER] if not trust.doubt(image)] == [HOSTILE, images[1]]
