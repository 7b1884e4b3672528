from vibayes.search.effort import CHECK, FINAL, STRETCHED, Effort


def test_those_that_show_something_may_go_on():
    assert Effort(3, 100, may_go_on=True, leaps_of_mixed=1000).allowances == (100, 400, 4000)
    assert Effort(3, 100, may_go_on=True, leaps_of_mixed=10).allowances == (100, 400, 400)
    assert Effort(3, 100).allowances == (100,)


def test_no_more_than_is_affordable():
    effort = CHECK.within(500, leaps_for_plenty=50)
    assert effort.allowances == (500, 2000, 2000)
    assert effort.leaps_for_plenty == 50
    assert effort.rounds == CHECK.rounds
    assert CHECK.within(10**6) == CHECK
    assert STRETCHED.within(500).allowances == (500,)


def test_a_check_that_has_mixed_takes_no_longer_than_the_last_resort():
    assert CHECK.allowances[-1] == FINAL.allowances[-1]
