use super::*;
use crate::schema::request::{sign, signed_text};
use proptest::prelude::*;

const KEY: &[u8] = b"a key of thirty-two bytes or more";
/// 2026-11-21T06:40:00Z.
const NOON: i64 = 1_795_243_200_000;

fn wall(unix_ms: i64) -> WallTime {
    WallTime { unix_ms, synced: true }
}

fn rules() -> GateRules {
    GateRules {
        device: "front".into(),
        enabled: CommandName::ALL.into(),
        key: Some(KEY.to_vec()),
        home_assistant: true,
        trust_clock: false,
    }
}

fn gate() -> Gate {
    Gate::new(rules(), Memory::default())
}

fn payload(device: &str, name: CommandName, id: &str, at: i64, life: i64) -> String {
    let (at, expires) = (at.to_string(), at.saturating_add(life).to_string());
    let hmac = sign(KEY, &signed_text(device, name, id, &at, &expires, &BTreeMap::new()));
    format!(r#"{{"id":"{id}","at":{at},"expires":{expires},"hmac":"{hmac}"}}"#)
}

fn unlock(id: &str, at: i64) -> String {
    payload("front", CommandName::Unlock, id, at, 5_000)
}

fn offer<'a>(name: &'a str, payload: &'a str) -> Offer<'a> {
    Offer { via: Via::Mqtt, name, payload: payload.as_bytes(), retained: false, expiry: None, correlation: None }
}

fn set(payload: &str) -> Offer<'_> {
    Offer { via: Via::HomeAssistant, expiry: Some(Duration::from_secs(5)), ..offer("set", payload) }
}

/// What becomes of it at tick `ms` and noon: the command's word, or the error's.
fn check(gate: &mut Gate, ms: u64, offer: &Offer<'_>) -> &'static str {
    check_at(gate, ms, wall(NOON), offer)
}

fn check_at(gate: &mut Gate, ms: u64, wall: WallTime, offer: &Offer<'_>) -> &'static str {
    match gate.judge(Tick::from_millis(ms), wall, offer) {
        Ok(passed) => passed.command.name().word(),
        Err(refused) => refused.error.word(),
    }
}

#[test]
fn a_signed_command_in_time_passes_once() {
    let mut gate = gate();
    let text = unlock("a1", NOON);
    assert_eq!(check(&mut gate, 0, &offer("unlock", &text)), "unlock");
    assert_eq!(check(&mut gate, 0, &offer("unlock", &text)), "duplicate");
    assert_eq!(gate.counts().accepted[&CommandName::Unlock], 1);
    assert_eq!(gate.counts().refused[&CommandError::Duplicate], 1);
}

#[test]
fn each_way_of_being_wrong_has_its_own_error() {
    let mut gate = gate();
    let good = unlock("a1", NOON);
    let retained = Offer { retained: true, ..offer("unlock", &good) };
    assert_eq!(check(&mut gate, 0, &retained), "retained");
    assert_eq!(check(&mut gate, 0, &offer("open", &good)), "unknown");
    let long = format!("{good}{}", " ".repeat(MAX_PAYLOAD));
    assert_eq!(check(&mut gate, 0, &offer("unlock", &long)), "too_large");
    assert_eq!(check(&mut gate, 0, &offer("unlock", "UNLOCK")), "malformed");
    assert_eq!(check(&mut gate, 0, &offer("unlock", r#"{"id":"a1"}"#)), "malformed", "a door command without times");
    for (at, life, what) in [
        (NOON - 6_000, 5_000, "over"),
        (NOON - 5_000, 5_000, "over in this very millisecond"),
        (NOON, 10_001, "made for too long"),
        (NOON, 0, "no life"),
        (NOON, -1, "backwards"),
        (NOON + 2_001, 5_000, "from the future"),
        (i64::MAX, 1, "from the end of time"),
    ] {
        let text = payload("front", CommandName::Unlock, "a1", at, life);
        assert_eq!(check(&mut gate, 0, &offer("unlock", &text)), "expired", "{what}");
    }
    assert_eq!(check(&mut gate, 0, &offer("unlock", &good)), "unlock", "nothing of this used the id up");
}

#[test]
fn a_signature_holds_for_its_device_command_and_fields_alone() {
    let mut gate = gate();
    let elsewhere = payload("back", CommandName::Unlock, "a1", NOON, 5_000);
    assert_eq!(check(&mut gate, 0, &offer("unlock", &elsewhere)), "bad_mac");
    let lock = payload("front", CommandName::Lock, "a1", NOON, 5_000);
    assert_eq!(check(&mut gate, 0, &offer("unlock", &lock)), "bad_mac");
    let shifted = unlock("a1", NOON).replace(&(NOON + 5_000).to_string(), &(NOON + 6_000).to_string());
    assert_eq!(check(&mut gate, 0, &offer("unlock", &shifted)), "bad_mac");
    let unsigned = format!(r#"{{"id":"a1","at":{NOON},"expires":{}}}"#, NOON + 5_000);
    assert_eq!(check(&mut gate, 0, &offer("unlock", &unsigned)), "bad_mac");
    assert_eq!(check(&mut gate, 0, &offer("ping", r#"{"id":"a1"}"#)), "bad_mac", "with a key everything is signed");
}

#[test]
fn nothing_that_opens_passes_without_a_key_and_nothing_at_all_by_default() {
    let mut open = Gate::new(GateRules { key: None, ..rules() }, Memory::default());
    let unsigned = format!(r#"{{"id":"a1","at":{NOON},"expires":{}}}"#, NOON + 5_000);
    for name in ["unlock", "release"] {
        assert_eq!(check(&mut open, 0, &offer(name, &unsigned)), "bad_mac");
    }
    assert_eq!(check(&mut open, 0, &offer("lock", &unsigned)), "lock");
    assert_eq!(check(&mut open, 0, &offer("ping", r#"{"id":"a2"}"#)), "ping");
    let mut shut = Gate::new(GateRules { device: "front".into(), ..GateRules::default() }, Memory::default());
    assert_eq!(check(&mut shut, 0, &offer("unlock", &unlock("a1", NOON))), "disabled");
    assert_eq!(check(&mut shut, 0, &set("UNLOCK")), "disabled");
}

#[test]
fn a_clock_that_nobody_disciplines_refuses_what_has_times() {
    let mut gate = gate();
    let unsynced = WallTime { unix_ms: NOON, synced: false };
    assert_eq!(check_at(&mut gate, 0, unsynced, &offer("unlock", &unlock("a1", NOON))), "expired");
    let ping = r#"{"id":"a2","hmac":"HEX"}"#
        .replace("HEX", &sign(KEY, &signed_text("front", CommandName::Ping, "a2", "", "", &BTreeMap::new())));
    assert_eq!(check_at(&mut gate, 0, unsynced, &offer("ping", &ping)), "ping");
    let mut trusting = Gate::new(GateRules { trust_clock: true, ..rules() }, Memory::default());
    assert_eq!(check_at(&mut trusting, 0, unsynced, &offer("unlock", &unlock("a1", NOON))), "unlock");
}

#[test]
fn what_was_used_stays_used_over_restarts_and_clocks_that_are_set_back() {
    let mut first = gate();
    let text = unlock("a1", NOON);
    assert_eq!(check(&mut first, 0, &offer("unlock", &text)), "unlock");
    let kept = first.memory().text();
    let memory = || Memory::from_text(&kept).expect("reads back");
    assert_eq!(check(&mut Gate::new(rules(), memory()), 0, &offer("unlock", &text)), "duplicate");

    // Far more commands than are remembered, and then the first one again at its own time.
    let mut gate = Gate::new(rules(), memory());
    for n in 1..=i64::try_from(Memory::IDS).expect("small") + 5 {
        let (ms, at) = (u64::try_from(n).expect("positive") * 60_000, NOON + n * 60_000);
        assert_eq!(check_at(&mut gate, ms, wall(at), &offer("unlock", &unlock(&format!("b{n}"), at))), "unlock");
    }
    assert_eq!(gate.memory().used.len(), Memory::IDS);
    assert_eq!(check(&mut gate, 99_000_000, &offer("unlock", &text)), "expired");
}

#[test]
fn home_assistant_is_heard_where_allowed_unretained_and_expiring() {
    let mut gate = gate();
    for (text, word) in [
        (r#"{"action":"UNLOCK"}"#, "unlock"),
        (r#"{"action":"OPEN"}"#, "unlock"),
        (r#"{"action":"UNLOCK","code":"1234"}"#, "unlock"),
        ("OPEN", "unlock"),
        ("LOCK", "lock"),
        ("open", "malformed"),
        ("", "malformed"),
        (r#"{"action":"UNLOCK","id":"1"}"#, "malformed"),
        (r#"{"action":["UNLOCK"]}"#, "malformed"),
    ] {
        assert_eq!(check(&mut gate, 0, &set(text)), word, "{text}");
    }
    assert_eq!(check(&mut gate, 0, &Offer { retained: true, ..set("UNLOCK") }), "retained");
    assert_eq!(check(&mut gate, 0, &Offer { expiry: None, ..set("UNLOCK") }), "expired");
    assert_eq!(check(&mut gate, 0, &Offer { expiry: Some(Duration::from_secs(11)), ..set("UNLOCK") }), "expired");
    let asked = Offer { correlation: Some(&[1, 255]), ..set("UNLOCK") };
    assert_eq!(gate.judge(Tick::ZERO, wall(NOON), &asked).expect("passes").id, "01ff");
    assert_eq!(check(&mut gate, 0, &asked), "duplicate");
}

#[test]
fn a_lockdown_refuses_what_opens_and_nothing_that_ends_it() {
    let mut gate = gate();
    gate.set_lockdown(true);
    assert_eq!(check(&mut gate, 0, &offer("unlock", &unlock("a1", NOON))), "lockdown");
    assert_eq!(check(&mut gate, 0, &set("UNLOCK")), "lockdown");
    let console = gate.judge_trusted(Tick::ZERO, wall(NOON), Via::Web, "w1", Command::Unlock);
    assert_eq!(console.expect_err("refused").error, CommandError::Lockdown);
    let release = payload("front", CommandName::Release, "a2", NOON, 5_000);
    assert_eq!(check(&mut gate, 0, &offer("release", &release)), "release");
    gate.set_lockdown(false);
    assert_eq!(check(&mut gate, 0, &offer("unlock", &unlock("a1", NOON))), "unlock");
}

#[test]
fn commands_that_pass_are_limited_each_for_itself_and_junk_takes_nothing_of_it() {
    let mut gate = gate();
    for _ in 0..10_000 {
        assert_eq!(check(&mut gate, 0, &offer("unlock", "junk")), "malformed");
    }
    for n in 0..BURST {
        assert_eq!(check(&mut gate, 0, &offer("unlock", &unlock(&format!("a{n}"), NOON))), "unlock");
    }
    let more = unlock("more", NOON);
    assert_eq!(check(&mut gate, 0, &offer("unlock", &more)), "rate");
    assert_eq!(check(&mut gate, 0, &set("LOCK")), "lock", "another command");
    assert_eq!(check(&mut gate, 5_999, &offer("unlock", &more)), "rate");
    assert_eq!(check(&mut gate, 6_000, &offer("unlock", &more)), "unlock", "the id was not used up");
}

#[test]
fn refusals_in_a_flood_are_counted_and_summed_up() {
    let mut gate = gate();
    let told = (0..1_000).filter(|_| gate.is_told(Tick::ZERO, CommandError::Malformed)).count();
    assert_eq!(told, 20);
    assert_eq!(gate.sum_up(Tick::from_millis(59_999)), None);
    assert_eq!(gate.sum_up(Tick::from_millis(60_000)), Some((980, CommandError::Malformed)));
    assert_eq!(gate.sum_up(Tick::from_millis(120_000)), None);
}

#[test]
fn a_hold_ends_within_half_a_day() {
    let mut gate = gate();
    let mut ask = |until_ms| {
        let hold = Command::Hold { until_ms };
        gate.judge_trusted(Tick::ZERO, wall(NOON), Via::Web, "w1", hold).map(|_| ()).map_err(|r| r.error)
    };
    assert_eq!(ask(NOON + 12 * 3_600_000), Ok(()));
    for bad in [NOON, NOON - 1, NOON + 12 * 3_600_000 + 1, i64::MIN, i64::MAX] {
        assert_eq!(ask(bad), Err(CommandError::Malformed), "{bad}");
    }
}

proptest! {
    /// Whatever bytes come on whatever topic at whatever time: without the key nothing that opens passes, and nothing panics.
    #[test]
    fn bytes_without_the_key_open_nothing(
        payloads in prop::collection::vec((0_usize..14, prop::collection::vec(any::<u8>(), 0..200), any::<i64>(), any::<bool>()), 1..50),
    ) {
        let mut gate = Gate::new(GateRules { home_assistant: false, ..rules() }, Memory::default());
        for (at, bytes, unix_ms, retained) in payloads {
            let name = CommandName::ALL.get(at).map_or("set", |n| n.word());
            let via = if at == 13 { Via::HomeAssistant } else { Via::Mqtt };
            let offer = Offer { via, name, payload: &bytes, retained, expiry: None, correlation: Some(&bytes) };
            prop_assert!(gate.judge(Tick::ZERO, wall(unix_ms), &offer).is_err());
        }
    }

    /// A real command with any one byte changed never opens.
    #[test]
    fn a_changed_byte_opens_nothing(at in 0_usize..200, with in any::<u8>()) {
        let good = unlock("a1", NOON);
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != with);
        bytes[at] = with;
        let changed = Offer { payload: &bytes, ..offer("unlock", &good) };
        if let Ok(passed) = gate().judge(Tick::ZERO, wall(NOON), &changed) {
            // The signature may be written in either case.
            prop_assert!(bytes.eq_ignore_ascii_case(good.as_bytes()) && passed.id == "a1");
        }
    }
}

#[test]
fn a_hundred_thousand_of_each_bad_command_open_nothing() {
    let mut gate = gate();
    let used = unlock("used", NOON);
    assert_eq!(check(&mut gate, 0, &offer("unlock", &used)), "unlock");
    let old = unlock("old", NOON - 60_000);
    let long = format!("{}{}", unlock("long", NOON), " ".repeat(MAX_PAYLOAD));
    let fresh = unlock("fresh", NOON);
    let unsigned = format!(r#"{{"id":"a1","at":{NOON},"expires":{}}}"#, NOON + 5_000);
    let bad = [
        ("retained", Offer { retained: true, ..offer("unlock", &fresh) }),
        ("duplicate", offer("unlock", &used)),
        ("expired", offer("unlock", &old)),
        ("too_large", offer("unlock", &long)),
        ("unknown", offer("open", &fresh)),
        ("bad_mac", offer("unlock", &unsigned)),
    ];
    for n in 0..100_000_u64 {
        for (error, offer) in &bad {
            assert_eq!(check(&mut gate, n, offer), *error, "number {n}");
        }
    }
    assert_eq!(gate.counts().accepted.values().sum::<u64>(), 1);
    assert!(gate.counts().refused.values().all(|n| *n == 100_000) && gate.counts().refused.len() == bad.len());
}
