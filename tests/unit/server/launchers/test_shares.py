from landloom.server.launchers.shares import Shares


def test_each_gets_what_others_use_least():
    cores = Shares(range(4))
    assert cores.take("a", 2) == (0, 1)
    assert cores.take("b", 1) == (2,)
    assert cores.take("c", 1) == (3,)
    cores.free("b")
    assert cores.take("d", 1) == (2,)


def test_halves_share_a_part_once_all_are_taken():
    cores = Shares([0, 1])
    assert [cores.take(name, 0.5) for name in "abc"] == [(0,), (1,), (0,)]


def test_one_that_wants_more_than_there_is_gets_all():
    assert Shares([3, 5]).take("a", 64) == (3, 5)


def test_none_wanted_is_none_given():
    assert Shares(range(2)).take("a", 0) == ()
    assert not Shares([])


def test_what_an_earlier_process_gave_counts():
    gpus = Shares(range(2))
    gpus.keep("old", 1, [0])
    assert "old" in gpus
    assert gpus.take("new", 1) == (1,)
    gpus.keep("elsewhere", 1, [7])
    gpus.free("never was")
