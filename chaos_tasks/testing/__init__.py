"""What a fault of anyone's can be tested with: the conformance checks, a crash at a chosen act, a fake clock.

    from chaos_tasks.testing.conformance import Arrangement, yield_checks

    def arrange() -> Arrangement:                      # called once per check: a new, healthy place each time
        place = ...                                    # build it, or reset it
        return Arrangement(fault=MyFault(), place=place, params={"fraction": 0.1}, make_context=make_context)

    @pytest.mark.parametrize("check", list(yield_checks(MyFault())), ids=lambda check: check.__name__)
    def test_conforms(check):
        check(arrange)

``make_context`` is called whenever the checks play another process on another day: give each context an *empty*
scratch folder, since whatever only lived in scratch is lost then.  A fault that ``self_heals`` also gives ``healthy``,
the target's own predicate.  Nothing here imports pytest: a failed check raises AssertionError with a sentence.

Our own kinds: ``tests/conformance/arrange_{data,process,stream,cloud}.py`` each export
``ARRANGEMENTS: dict[str, Callable[[Path, FixtureRequest], Arrangement]]``, kind -> builder, where the builder gets
pytest's ``tmp_path`` and ``request`` (``request.getfixturevalue("s3_lab")``, ``request.addfinalizer(...)``); a builder
may be called several times in one test and must make a place of its own each time.
"""
