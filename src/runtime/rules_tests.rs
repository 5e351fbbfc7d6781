use super::*;
use crate::base::time::ManualClock;
use crate::config::parse_rules;
use crate::domain::gallery::Template;
use crate::ports::{PeopleStore, Person};
use crate::schema::event::Goal;

/// Monday, 2026-11-23 09:00 UTC.
const NINE: i64 = 1_795_424_400_000;

const RULES: &str = r#"
[groups.staff]
[groups.visitors]
two_person = "staff"
[groups.cleaners]
second_factor = "pin"
[schedules.day]
every_day = ["08:00-18:00"]
[doors.front]
anti_passback = { reset = "04:00" }
hold_open = { schedule = "day", first_person = true }
[[grants]]
groups = ["staff", "visitors", "cleaners"]
doors = ["front"]
schedule = "day"
"#;

struct House {
    dir: tempfile::TempDir,
    clock: ManualClock,
    store: EncryptedPeople,
    rules: Rules,
    visits: u64,
}

fn id(name: &str) -> PersonId {
    PersonId::new(name).expect("valid")
}

impl House {
    fn new() -> House {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = ManualClock::new(NINE);
        let store = EncryptedPeople::open(dir.path()).expect("opens");
        let rules = open(dir.path(), &clock);
        let mut house = House { dir, clock, store, rules, visits: 0 };
        house.enrol("ada", &["staff"]);
        house.enrol("bob", &["staff"]);
        house.enrol("eve", &["visitors"]);
        house.enrol("cleo", &["cleaners"]);
        house
    }

    /// The store is another process's: what it changes is seen without a restart.
    fn enrol(&mut self, name: &str, groups: &[&str]) {
        let template = Template { model: "ab".repeat(32), embedding: vec![0.5_f32; 4].into() };
        let person = Person { id: id(name), templates: vec![template], enrolled_unix_ms: 0 };
        self.store.add_all(&[person], false).expect("writes");
        let pin = Some(pin::verifier("4711", [3; 16]).expect("a PIN"));
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        let attributes = Attributes { groups, pin, card: Some("17".into()), ..Attributes::default() };
        self.store.set_attributes(&id(name), &attributes).expect("writes");
    }

    fn restart(&mut self) {
        self.rules = open(self.dir.path(), &self.clock);
    }

    fn visit(&mut self, name: &str) -> Decision {
        self.visits += 1;
        let at = self.clock.now();
        Decision {
            visit: VisitId(self.visits),
            goal: Goal::Identify,
            verdict: Verdict::Granted,
            reason: None,
            person: Some(id(name)),
            began: at,
            at,
            newest: at,
        }
    }

    fn judge(&mut self, name: &str) -> Ruling {
        let d = self.visit(name);
        self.rules.judge(self.clock.now(), self.clock.wall(), &d, Factors::default())
    }

    fn reason(&mut self, name: &str) -> Option<Reason> {
        match self.judge(name) {
            Ruling::Allowed => None,
            Ruling::Refused(r) => Some(r.reason),
            other => panic!("{other:?}"),
        }
    }

    fn tick(&mut self, seconds: u64) -> Vec<Event> {
        self.clock.advance(Duration::from_secs(seconds));
        self.rules.tick(self.clock.now(), self.clock.wall())
    }

    fn granted(&mut self, name: &str) -> Vec<Event> {
        self.rules.granted(self.clock.now(), self.clock.wall(), VisitId(self.visits), &id(name))
    }
}

fn open(dir: &Path, clock: &ManualClock) -> Rules {
    let mut rules = Rules::open(&Config::defaults(dir), dir, clock).expect("opens").with_factors(true);
    rules.book = Arc::new(parse_rules(Path::new("r.toml"), RULES).expect("no faults"));
    rules
}

#[test]
fn a_change_of_the_people_is_seen_without_a_restart() {
    let mut h = House::new();
    assert_eq!(h.reason("ada"), None);
    h.store.set_attributes(&id("ada"), &Attributes::default()).expect("writes");
    assert_eq!(h.reason("ada"), Some(Reason::OutsideSchedule));
    let over = Attributes { valid_to_ms: Some(NINE), ..h.rules.attributes[&id("bob")].clone() };
    h.store.set_attributes(&id("bob"), &over).expect("writes");
    assert_eq!(h.reason("bob"), Some(Reason::Expired));
    h.store.remove(&id("bob")).expect("removes");
    assert_eq!(h.reason("bob"), Some(Reason::OutsideSchedule), "whoever is gone is in no group");
}

#[test]
fn who_is_removed_while_looking_is_not_let_in_even_where_everybody_may_pass() {
    let mut h = House::new();
    h.rules.book = Arc::new(RuleBook::open());
    assert_eq!((h.reason("ada"), h.reason("bob")), (None, None));
    h.store.remove(&id("bob")).expect("removes");
    assert_eq!((h.reason("ada"), h.reason("bob")), (None, Some(Reason::Stopped)));
}

#[test]
fn where_the_site_has_the_rules_nobody_passes_before_there_are_some() {
    let mut h = House::new();
    let slot = crate::runtime::site::RulesSlot::default();
    let fresh = Rules::open(&Config::defaults(h.dir.path()), h.dir.path(), &h.clock).expect("opens");
    h.rules = fresh.of_site(Some(slot.clone()));
    assert_eq!(h.reason("ada"), Some(Reason::OutsideSchedule), "not everybody, as without a file");
    *slot.lock().expect("slot mutex: no holder panics") = Some(Arc::new(RuleBook::open()));
    h.tick(1);
    assert_eq!(h.reason("ada"), None);
}

#[test]
fn orders_are_carried_out_once_and_lockouts_survive_a_restart_and_a_clock_set_back() {
    let mut h = House::new();
    leave_order(h.dir.path(), &Order::Lockdown).expect("writes");
    h.tick(1);
    assert_eq!((h.rules.ordered_lockdown(), h.rules.ordered_lockdown()), (Some(true), None), "told once");
    h.rules.set_lockdown(true);
    assert_eq!(h.reason("ada"), Some(Reason::Lockdown));
    leave_order(h.dir.path(), &Order::EndLockdown).expect("writes");
    h.restart();
    h.tick(1);
    assert_eq!(h.rules.ordered_lockdown(), Some(false), "left while nobody ran, and carried out at the start");
    // Five failures in a name, with the clock set back and a restart in the middle.
    let ada = id("ada");
    let fail =
        |h: &mut House| h.rules.charge(h.clock.now(), Verdict::Denied, Some(Reason::ChallengeFailed), Some(&ada)).len();
    let pauses: Vec<usize> = (0..5).map(|_| fail(&mut h)).collect();
    assert_eq!(pauses, [0, 0, 0, 0, 2], "the door's and the person's");
    h.clock.set_wall(WallTime { unix_ms: 0, synced: true });
    h.restart();
    assert!(h.rules.lockouts.person(h.clock.now(), &ada));
    assert!(h.rules.locked_out(h.clock.now()));
    leave_order(h.dir.path(), &Order::Person(ada.clone())).expect("writes");
    leave_order(h.dir.path(), &Order::Door).expect("writes");
    h.tick(1);
    h.restart();
    assert!(!h.rules.lockouts.person(h.clock.now(), &ada));
    assert!(!h.rules.locked_out(h.clock.now()));
}

#[test]
fn only_a_used_entry_counts_and_it_survives_a_restart_until_the_reset() {
    let mut h = House::new();
    assert_eq!(h.reason("ada"), None);
    h.granted("ada");
    assert_eq!(h.reason("ada"), None, "let in, but nobody opened the door");
    let visit = VisitId(h.visits - 1);
    h.rules.opened(h.clock.now(), h.clock.wall(), visit);
    assert_eq!(h.reason("ada"), Some(Reason::AntiPassback));
    assert_eq!(h.reason("bob"), None);
    h.restart();
    assert_eq!(h.reason("ada"), Some(Reason::AntiPassback));
    h.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(h.reason("ada"), None, "the day after");
    leave_order(h.dir.path(), &Order::Person(id("ada"))).expect("writes");
    h.tick(1);
    assert_eq!(h.rules.presence.entered(&id("ada")), None);
}

#[test]
fn a_visitor_waits_for_somebody_of_the_staff_and_is_refused_when_nobody_comes() {
    let mut h = House::new();
    assert_eq!(h.judge("eve"), Ruling::Second);
    let first = VisitId(h.visits);
    assert_eq!(h.reason("eve"), Some(Reason::TwoPerson), "nobody is their own second");
    assert_eq!(h.reason("ada"), None);
    let with = VisitId(h.visits);
    assert_eq!(h.granted("ada"), [Event::AccessPaired { visit: first, person: id("eve"), with }]);
    assert_eq!(h.tick(40), [], "whoever went along is not refused");
    assert_eq!(h.judge("eve"), Ruling::Second);
    let alone = h.tick(30);
    assert!(
        matches!(&alone[..], [Event::AccessDenied { reason: Reason::TwoPerson, person: Some(p), rule: Some(_), .. }] if *p == id("eve")),
        "{alone:?}"
    );
    // Waiting counts for nothing after a lockdown.
    assert_eq!(h.judge("eve"), Ruling::Second);
    let shut = h.rules.set_lockdown(true);
    assert!(matches!(&shut[..], [Event::AccessDenied { reason: Reason::Lockdown, .. }]));
}

#[test]
fn a_second_factor_is_waited_for_and_duress_is_a_right_pin() {
    let mut h = House::new();
    assert_eq!(h.judge("cleo"), Ruling::Factor(Duration::from_secs(15)));
    let d = h.visit("cleo");
    let pin = |t: &str| Shown::Pin(Zeroizing::new(t.into()));
    let (mut right, mut forced, mut wrong) = (Factors::default(), Factors::default(), Factors::default());
    assert!(h.rules.show(&id("cleo"), &pin("4711"), &mut right));
    assert!(h.rules.show(&id("cleo"), &pin("4712"), &mut forced));
    assert!(!h.rules.show(&id("cleo"), &pin("4713"), &mut wrong) && wrong == Factors::default());
    assert!(h.rules.show(&id("cleo"), &Shown::Card(Zeroizing::new("17".into())), &mut wrong));
    assert!(!h.rules.show(&id("cleo"), &Shown::Card(Zeroizing::new("4711".into())), &mut Factors::default()));
    assert!((right.pin, right.duress) == (true, false) && (forced.pin, forced.duress) == (true, true));
    let mut judge = |f| h.rules.judge(h.clock.now(), h.clock.wall(), &d, f);
    assert_eq!((judge(right), judge(forced)), (Ruling::Allowed, Ruling::Allowed));
    assert_eq!(judge(wrong), Ruling::Factor(Duration::from_secs(15)), "the card is not what is asked for");
    // Without a keypad there is nothing to wait for.
    h.rules = open(h.dir.path(), &h.clock).with_factors(false);
    assert_eq!(h.reason("cleo"), Some(Reason::SecondFactor));
    assert!(!format!("{:?}", pin("4711")).contains("4711"));
}

#[test]
fn a_clock_that_jumps_closes_the_door_tells_it_once_and_an_order_ends_it() {
    let mut h = House::new();
    assert_eq!(h.tick(1), []);
    assert_eq!(h.reason("ada"), None);
    let night = NINE + 12 * 3_600_000;
    h.clock.set_wall(WallTime { unix_ms: night, synced: true });
    assert_eq!(h.reason("ada"), Some(Reason::OutsideSchedule));
    h.clock.set_wall(WallTime { unix_ms: NINE - 24 * 3_600_000, synced: true });
    assert_eq!(h.reason("ada"), Some(Reason::OutsideSchedule), "nine in the morning, but of yesterday");
    let alarms = h.tick(1);
    assert!(matches!(&alarms[..], [Event::AlarmClock { jump_ms }] if *jump_ms < -80_000_000), "{alarms:?}");
    assert_eq!(h.tick(1), []);
    h.restart();
    assert_eq!(h.reason("ada"), Some(Reason::OutsideSchedule), "the latest time is remembered");
    leave_order(h.dir.path(), &Order::Clock).expect("writes");
    h.tick(1);
    assert_eq!(h.reason("ada"), None);
}

#[test]
fn office_hours_begin_with_somebody_and_end_with_a_lockdown() {
    let mut h = House::new();
    let open = |h: &mut House| h.rules.wants_open(h.clock.now(), h.clock.wall());
    assert!(!open(&mut h));
    h.granted("ada");
    assert!(open(&mut h));
    h.rules.set_lockdown(true);
    assert!(!open(&mut h));
    h.rules.set_lockdown(false);
    assert!(!open(&mut h), "somebody has to come anew");
}

#[test]
fn people_that_cannot_be_read_let_nobody_pass() {
    let mut h = House::new();
    assert_eq!(h.reason("ada"), None);
    h.store.tamper_with_attributes();
    for _ in 0..2 {
        assert_eq!(h.reason("ada"), Some(Reason::Degraded), "and not what was known before");
    }
}

#[test]
fn what_the_rules_say_stands_on_the_screen_before_anybody_sees_a_grant() {
    let granted = Screen { phase: Phase::Done, verdict: Some(Verdict::Granted), ..Screen::IDLE };
    assert_eq!(shown(granted, Some(&Ruling::Allowed)), granted);
    assert_eq!(shown(granted, Some(&refused(Reason::Expired, "x"))).verdict, Some(Verdict::Denied));
    assert_eq!(shown(granted, Some(&Ruling::Factor(Duration::ZERO))).verdict, None);
    assert_eq!(shown(granted, Some(&Ruling::Second)).verdict, Some(Verdict::TryAgain));
    let looking = Screen { phase: Phase::Looking, ..Screen::IDLE };
    assert_eq!(shown(looking, Some(&refused(Reason::Expired, "x"))), looking);
}

#[test]
fn from_afar_nothing_can_be_shown_nobody_comes_along_and_all_other_rules_hold() {
    let mut h = House::new();
    let afar = |h: &mut House, name: &str| {
        let d = h.visit(name);
        h.rules.judge_afar(h.clock.now(), h.clock.wall(), &d).map_err(|r| r.reason)
    };
    assert_eq!(afar(&mut h, "ada"), Ok(()));
    assert_eq!(afar(&mut h, "cleo"), Err(Reason::SecondFactor), "a keypad is at the door");
    // Bob of the staff waits for nobody, Eve at the door waits for somebody: whoever is elsewhere is no company.
    assert_eq!(h.judge("eve"), Ruling::Second);
    assert_eq!(afar(&mut h, "ada"), Ok(()));
    let visit = VisitId(h.visits);
    h.rules.granted_afar(visit, &id("ada"));
    assert_eq!(h.reason("eve"), Some(Reason::TwoPerson), "she waits still");
    let late = h.tick(40);
    assert!(matches!(&late[..], [Event::AccessDenied { reason: Reason::TwoPerson, .. }]), "{late:?}");
    assert_eq!(afar(&mut h, "eve"), Err(Reason::TwoPerson));
    assert_eq!(h.tick(40), [], "and from afar she does not wait");
    h.rules.opened(h.clock.now(), h.clock.wall(), visit);
    assert_eq!(afar(&mut h, "ada"), Err(Reason::AntiPassback), "an entry like any other");
    h.rules.set_lockdown(true);
    assert_eq!(afar(&mut h, "bob"), Err(Reason::Lockdown));
    h.rules.set_lockdown(false);
    h.clock.advance(Duration::from_secs(12 * 3600));
    assert_eq!(afar(&mut h, "bob"), Err(Reason::OutsideSchedule));
}
