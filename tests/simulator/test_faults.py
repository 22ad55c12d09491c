import pytest

from sora2_mcp.simulator.faults import KINDS, Fault, FaultScript, faults_in_prompt, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("order-drop", Fault(name="order-drop")),
        ("order-429*2", Fault(name="order-429", times=2)),
        ("order-slow=0.5", Fault(name="order-slow", value=0.5)),
        (" look-429=3*2 ", Fault(name="look-429", value=3, times=2)),
    ],
)
def test_one_grammar_spells_name_value_and_times(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize("name", KINDS)
def test_every_fault_of_the_table_can_be_written(name: str) -> None:
    text = f"{name}=2" if KINDS[name].needs_value else name

    assert parse_fault(text).name == name


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="Unknown fault 'order-418'") as raised:
        parse_fault("order-418")

    assert all(name in str(raised.value) for name in KINDS)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "write name"),
        ("order-429:2", "write name"),
        ("order-429*x", "write name"),
        ("order-429*0", "at least once"),
        ("order-drop=3", "takes no value"),
        ("order-slow=soon", "number of seconds"),
        ("order-slow=-1", "number of seconds"),
        ("order-slow=nan", "number of seconds"),
        ("look-slow=1e9", "number of seconds"),
        ("seconds", "needs a number"),
    ],
)
def test_what_does_not_fit_the_grammar_is_an_error_that_says_why(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_fault(text)


def test_a_prompt_may_hold_several_words() -> None:
    prompt = "A cat [sim:order-429*2] runs [see:this] [sim:seconds=9]"

    assert faults_in_prompt(prompt) == (Fault(name="order-429", times=2), Fault(name="seconds", value=9))


def test_faults_are_taken_in_order_and_used_up_by_their_times() -> None:
    script = FaultScript([Fault(name="order-429", times=2), Fault(name="look-500", times=1), Fault(name="order-drop")])

    def take() -> str | None:
        fault = script.take(lambda fault: fault.name.startswith("order-"))
        return None if fault is None else fault.name

    assert [take(), take(), take(), take()] == ["order-429", "order-429", "order-drop", "order-drop"]
    assert script.faults == (Fault(name="look-500", times=1), Fault(name="order-drop"))
