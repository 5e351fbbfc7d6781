//! Outside bytes by the hundred thousand, seeded: command payloads, `lock/set`, response topics, what was kept in files; and
//! every parser of `support/parsers.rs`.
//! Nothing panics, nothing opens, and no input takes long. `CARDEA_INPUTS` and `CARDEA_SEED` choose how many and which.

#[path = "support/parsers.rs"]
mod parsers;

use cardea::base::time::{Tick, WallTime};
use cardea::domain::command::{Gate, GateRules, Offer};
use cardea::schema::command::{CommandName, Memory, Via};
use cardea::schema::request::{Request, lock_set, sign, signed_text};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOON: i64 = 1_795_243_200_000;
/// No input may take longer; measured are microseconds, so this only finds what explodes.
const LONGEST: Duration = Duration::from_secs(1);

/// Processor time of this thread: others that run beside it do not make a parser slow.
fn spent() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |t| t.parse().unwrap_or_else(|_| panic!("{name} is a whole number")))
}

/// Real payloads, from which bent ones are made.
fn corpus() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = CommandName::ALL
        .into_iter()
        .map(|name| {
            let (at, expires) = (NOON.to_string(), (NOON + 5_000).to_string());
            let hmac = sign(KEY, &signed_text("back", name, "a1", &at, &expires, &BTreeMap::new()));
            format!(r#"{{"id":"a1","at":{at},"expires":{expires},"hmac":"{hmac}"}}"#).into_bytes()
        })
        .collect();
    for text in [
        r#"{"action":"UNLOCK"}"#,
        "UNLOCK",
        r#"{"id":"a1","at":"2026-11-21T06:40:00Z","expires":"2026-11-21T06:40:05Z","until":"2026-11-21T08:00:00+01:00[Europe/Berlin]"}"#,
        r#"{"id":"a1","seq":18446744073709551615,"limit":1e9}"#,
        r#"{"id":"a1","person":"\ud800"}"#,
        r#"{"lockdown":false,"used":[[1,"a"]],"floor":0}"#,
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        r#"{"id":{"id":{"id":{"id":{}}}}}"#,
    ] {
        all.push(text.as_bytes().to_vec());
    }
    all
}

/// A payload: one of the corpus with some bytes changed, cut, doubled or spliced, or bytes alone.
fn bend(rng: &mut ChaCha8Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let pick = |rng: &mut ChaCha8Rng, n: usize| (rng.next_u64() % n.max(1) as u64) as usize;
    let mut bytes = corpus[pick(rng, corpus.len())].clone();
    for _ in 0..=pick(rng, 4) {
        let at = pick(rng, bytes.len());
        match rng.next_u32() % 6 {
            0 if !bytes.is_empty() => bytes[at] = rng.next_u32() as u8,
            1 => bytes.truncate(at),
            2 => bytes.insert(at, b"{}[]\":,\\0e-+.\n\xff"[pick(rng, 15)]),
            3 => {
                let other = &corpus[pick(rng, corpus.len())];
                bytes.splice(at.., other[pick(rng, other.len())..].iter().copied());
            }
            4 => bytes.extend_from_within(at..),
            _ => {
                let mut noise = vec![0; pick(rng, 64)];
                rng.fill_bytes(&mut noise);
                bytes.splice(at..at, noise);
            }
        }
    }
    bytes
}

#[test]
fn bytes_from_outside_neither_panic_nor_open() {
    let (inputs, seed) = (number("CARDEA_INPUTS", 100_000), number("CARDEA_SEED", 1));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let corpus = corpus();
    let rules = GateRules {
        device: "front".into(),
        enabled: CommandName::ALL.into(),
        key: Some(KEY.to_vec()),
        home_assistant: false,
        trust_clock: true,
    };
    let mut gate = Gate::new(rules, Memory::default());
    let (mut read, mut slowest) = (0_u64, Duration::ZERO);
    for n in 0..inputs {
        let bytes = bend(&mut rng, &corpus);
        let name = CommandName::ALL[(rng.next_u32() % 11) as usize];
        let begun = spent();
        read += u64::from(Request::parse("front", name, &bytes).is_ok());
        let _command = lock_set(&bytes);
        let _memory = Memory::from_text(&String::from_utf8_lossy(&bytes));
        let words = [name.word(), "set", "result", "", "../unlock"];
        let at = (rng.next_u32() % 8) as usize;
        let offer = Offer {
            via: if n % 2 == 0 { Via::Mqtt } else { Via::HomeAssistant },
            name: words.get(at).copied().unwrap_or(words[0]),
            payload: &bytes,
            retained: n % 7 == 0,
            expiry: (n % 3 == 0).then(|| Duration::from_secs(n % 12)),
            correlation: (n % 5 == 0).then_some(&bytes[..]),
        };
        let wall = WallTime { unix_ms: NOON.wrapping_add(rng.next_u64() as i64 % 20_000), synced: n % 2 == 0 };
        let judged = gate.judge(Tick::from_millis(n), wall, &offer);
        assert!(judged.is_err(), "seed {seed}, input {n}: {judged:?} of {:?}", String::from_utf8_lossy(&bytes));
        slowest = slowest.max(spent() - begun);
    }
    assert!(slowest < LONGEST, "{slowest:?}");
    // Inputs that all fail in the first byte would show nothing.
    assert!(read > inputs / 1_000, "only {read} of {inputs} were commands at all");
    println!(
        "{inputs} inputs of seed {seed}: {read} were commands by their form, none passed; the slowest took {slowest:?}"
    );
}

/// Each parser gets a fiftieth of `CARDEA_INPUTS`, or `CARDEA_PARSER_INPUTS`.
#[test]
fn no_parser_of_outside_bytes_panics_or_takes_long() {
    let inputs = number("CARDEA_PARSER_INPUTS", number("CARDEA_INPUTS", 100_000) / 50);
    let seed = number("CARDEA_SEED", 1);
    for parser in parsers::PARSERS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let seeds = (parser.seeds)();
        for good in &seeds {
            assert!(!good.is_empty(), "{}: a seed is missing", parser.name);
        }
        assert!(seeds.iter().any(|s| (parser.reads)(s)), "{}: no seed is read at all", parser.name);
        let (mut read, mut slowest) = (0_u64, Duration::ZERO);
        for n in 0..inputs {
            let bytes = bend(&mut rng, &seeds);
            let begun = spent();
            read += u64::from((parser.reads)(&bytes));
            let took = spent() - begun;
            assert!(took < LONGEST, "{}: seed {seed}, input {n} took {took:?}", parser.name);
            slowest = slowest.max(took);
        }
        println!("{}: {inputs} inputs of seed {seed}, {read} were read; the slowest took {slowest:?}", parser.name);
    }
}
