"""One flow's part of the writes: large when it is alone, and small as soon as it slows others down."""

from signer.csr.queue.share import Share

WINDOW = 64
MOST = 8


def write(share: Share, count: int, seconds: float, now: float = 0.0) -> None:
    """Tell of so many writes that took so long."""
    for _ in range(count):
        share.wrote(seconds, WINDOW, now)


def shared(now: float = 0.0) -> Share:
    """A share in which two flows have just begun something."""
    share = Share()
    share.seen("foo", now)
    share.seen("bar", now)
    return share


class TestAlone:
    """Who asks alone waits for nobody."""

    def test_has_an_eighth(self) -> None:
        """It has an eighth of the window at once, without having to earn it, and one place in the smallest window."""
        share = Share()
        share.seen("foo", 0.0)
        assert share.places("foo", WINDOW, 0.0, others=False) == MOST
        assert share.places("foo", 4, 0.0, others=False) == 1

    def test_never_alone_beside_others(self) -> None:
        """Who has something under way counts, however long ago it was begun."""
        share = shared()
        share.seen("foo", 60.0)
        assert share.places("foo", WINDOW, 60.0, others=True) == 1

    def test_again_alone(self) -> None:
        """Five seconds after the last of the others it is alone again, and they are not, as long as it goes on."""
        share = shared()
        for now in (1.0, 2.0, 6.0):
            share.seen("foo", now)
        assert share.alone("foo", 6.0)
        assert not share.alone("bar", 6.0)

    def test_however_they_alternate(self) -> None:
        """Two that ask in turns are never alone, however long each of them goes on."""
        share = Share()
        for now in range(100):
            share.seen(("foo", "bar")[now // 4 % 2], float(now))
            if now > 4:
                assert not share.alone("foo", float(now))
                assert not share.alone("bar", float(now))


class TestOthers:
    """While others ask, the API server says how much one may have under way."""

    def test_one_at_first(self) -> None:
        """Nothing is known at first: one at a time."""
        assert shared().places("foo", WINDOW, 0.0, others=False) == 1

    def test_grows_while_writes_are_quick(self) -> None:
        """An API server that bears it gets more at once, up to an eighth of the window and no more."""
        share = shared()
        write(share, 8, 0.010)
        assert share.places("foo", WINDOW, 0.0, others=False) == 2
        write(share, 800, 0.011)
        assert share.places("foo", WINDOW, 0.0, others=False) == MOST

    def test_shrinks_when_writes_get_slow(self) -> None:
        """Writes that take half as long again as at best take its places away, down to one."""
        share = shared()
        write(share, 800, 0.010)
        write(share, 200, 0.015)
        assert share.places("foo", WINDOW, 0.0, others=False) == 1

    def test_one_slow_write_is_no_news(self) -> None:
        """A single write that hangs changes nothing for long."""
        share = shared()
        write(share, 800, 0.010)
        write(share, 1, 0.050)
        write(share, 80, 0.010)
        assert share.places("foo", WINDOW, 0.0, others=False) >= MOST - 2

    def test_a_slower_server_is_learned(self) -> None:
        """An API server that has become slower for good is measured by what it is now, two minutes later at most."""
        share = shared()
        write(share, 800, 0.010)
        for second in range(240):
            write(share, 8, 0.030, float(second))
        share.seen("foo", 240.0)
        share.seen("bar", 240.0)
        assert share.places("foo", WINDOW, 240.0, others=False) == MOST

    def test_a_smaller_window(self) -> None:
        """A window that 429s have made smaller makes each part smaller too."""
        share = shared()
        write(share, 800, 0.010)
        assert share.places("foo", 16, 0.0, others=False) == 2
