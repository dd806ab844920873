//! The world on its own, without a server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use xdrelay::model::incident::Head;
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::incident::IncidentNumber;
use xdrelay::sandbox::knobs::Knobs;
use xdrelay::sandbox::query::{ListQuery, Order};
use xdrelay::sandbox::stamp::on_tick;
use xdrelay::sandbox::world::World;

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn at(seconds: u64) -> Timestamp {
    START.later(Duration::from_secs(seconds))
}

fn lived(knobs: Knobs, seconds: u64, step: Duration) -> World {
    let mut world = World::new(knobs);
    let mut now = START;
    while now < at(seconds) {
        world.advance(now);
        now = now.later(step);
    }
    world.advance(at(seconds));
    world
}

/// Wild but for the sizes, which only take time here.
fn wild(seed: u64) -> Knobs {
    Knobs { size_max: 8_000, ..Knobs::wild(seed) }
}

/// Everything there is to know of a world.
fn trace(world: &World) -> Vec<(IncidentNumber, Timestamp, Timestamp, Option<Timestamp>, String)> {
    let truth = world.truth().into_iter();
    truth
        .map(|truth| {
            let revision = &truth.revision;
            (revision.number, revision.last_update, truth.from, truth.until, revision.json.to_string())
        })
        .collect()
}

fn json(world: &World, number: IncidentNumber, now: Timestamp) -> Value {
    serde_json::from_str(&world.get(number, now).expect("visible").json).expect("JSON")
}

#[test]
fn the_same_seed_gives_the_same_world_in_whatever_steps_time_comes() {
    let once = trace(&lived(wild(7), 120, Duration::from_secs(120)));
    assert_eq!(once, trace(&lived(wild(7), 120, Duration::from_millis(200))));
    assert_ne!(once, trace(&lived(wild(8), 120, Duration::from_secs(120))));
}

#[test]
fn the_index_and_the_past_agree_on_what_is_visible() {
    for seed in 0..2 {
        let mut world = World::new(wild(seed));
        for second in (0..600).step_by(9) {
            world.advance(at(second));
            let past: Vec<_> = world.visible(at(second)).cloned().collect();
            let index: Vec<_> = world.rows().by_number().cloned().collect();
            assert_eq!(past, index, "seed {seed} at {second}");
            let pages = [Order::LastUpdateDescending, Order::NumberDescending, Order::CreatedDescending];
            for order in pages {
                assert_eq!(ListQuery::default().page(world.rows(), order, u64::MAX).len(), past.len());
            }
        }
    }
}

#[test]
fn truth_is_what_was_visible_and_when() {
    let world = lived(wild(3), 600, Duration::from_secs(1));
    let truth = world.truth();
    assert!(500 < truth.len());
    for truth in &truth {
        assert_eq!(world.get(truth.revision.number, truth.from), Some(&truth.revision));
        if let Some(until) = truth.until {
            assert_ne!(world.get(truth.revision.number, until), Some(&truth.revision));
        }
    }
}

#[test]
fn every_row_is_an_incident_with_a_time_on_a_tick() {
    let world = lived(Knobs::wild(4), 300, Duration::from_secs(10));
    let (mut sizes, mut times) = (Vec::new(), BTreeSet::new());
    for truth in world.truth() {
        let revision = truth.revision;
        let Head::Usual(header) = Head::read(&revision.json) else { panic!("{} is odd", revision.json) };
        assert_eq!((header.id, header.last_update), (revision.number.id(), revision.last_update));
        assert_eq!(header.created, Some(revision.created));
        assert_eq!(on_tick(revision.last_update), revision.last_update);
        assert!(revision.created <= revision.last_update && revision.last_update <= revision.shown_from);
        sizes.push(revision.json.len());
        times.insert((revision.last_update, revision.number));
    }
    sizes.sort_unstable();
    assert!(sizes[0] < 4_000 && 300_000 < *sizes.last().expect("some"), "a heavy tail");
    assert!(sizes[sizes.len() / 2] < 20_000, "most are small");
    let ties = times.iter().zip(times.iter().skip(1)).filter(|(one, next)| one.0 == next.0).count();
    assert!(20 < ties, "{ties} ties");
}

#[test]
fn both_shapes_and_every_nasty_character_occur() {
    let world = lived(Knobs::wild(5), 200, Duration::from_secs(10));
    let all: String = world.truth().iter().map(|truth| truth.revision.json.as_ref()).collect();
    for text in [
        r#""registryValue":null"#,
        r#""verdict":"Suspicious""#,
        r#""entities":[]"#,
        r#"\"final\""#,
        r"\r\n",
        r"C:\\Users",
        "|",
        "]",
        "=",
        "\u{202e}",
        "\u{200b}",
        "💰",
        r"\ud83d\udcb0",
        "محمد",
        "MailBox",
        "Mailbox",
    ] {
        assert!(all.contains(text), "{text:?} does not occur");
    }
}

#[test]
fn what_happens_to_an_incident_is_what_was_asked() {
    let mut world = World::new(Knobs::still(1));
    let (one, other) = (world.create(at(0)), world.create(at(1)));
    assert!(one < other);
    let stamp = world.update(one, at(10)).expect("it is there");
    assert_eq!(stamp, at(10));
    assert_ne!(json(&world, one, at(0)), json(&world, one, at(10)));
    assert_eq!(
        world.update(one, at(10)),
        Some(on_tick(at(10).later(Duration::from_millis(4)))),
        "never the same twice"
    );
    world.resolve(one, at(20)).expect("it is there");
    let resolved = json(&world, one, at(20));
    assert_eq!((&resolved["status"], &resolved["alerts"][0]["status"]), (&"Resolved".into(), &"Resolved".into()));
    world.reopen(one, at(30)).expect("it is there");
    assert_eq!(json(&world, one, at(30))["status"], "Active");
    assert_eq!(world.update(IncidentNumber(1), at(40)), None);
}

#[test]
fn a_merge_moves_the_alerts_and_leaves_an_empty_redirected_incident() {
    let mut world = World::new(Knobs::still(2));
    let (from, to) = (world.create_sized(at(0), 20_000), world.create_sized(at(1), 20_000));
    let count = |world: &World, number, now| json(world, number, now)["alerts"].as_array().expect("alerts").len();
    let before = count(&world, from, at(1)) + count(&world, to, at(1));
    let stamp = world.merge(from, to, at(5)).expect("both are there");
    let merged = json(&world, from, at(5));
    assert_eq!((merged["status"].as_str(), merged["redirectIncidentId"].as_u64()), (Some("Redirected"), Some(to.0)));
    assert_eq!((count(&world, from, at(5)), count(&world, to, at(5))), (0, before));
    assert_eq!(merged["tags"], serde_json::json!(["Redirected"]));
    assert_eq!(world.get(to, at(5)).map(|row| row.last_update), Some(stamp));
    assert_eq!(
        (world.merge(from, to, at(6)), world.merge(to, to, at(6)), world.update(from, at(6))),
        (None, None, None)
    );
}

#[test]
fn an_alert_changes_without_the_incident_s_time() {
    let mut world = World::new(Knobs::still(3));
    let number = world.create(at(0));
    assert!(world.edit_alert_only(number, at(60)));
    let (before, after) = (world.get(number, at(59)).cloned(), world.get(number, at(60)).cloned());
    let (before, after) = (before.expect("visible"), after.expect("visible"));
    assert_eq!(before.last_update, after.last_update);
    assert_ne!(before.json, after.json);
    assert_eq!(world.truth().len(), 2);
}

#[test]
fn a_late_change_is_seen_late_and_one_that_is_overtaken_never() {
    let mut world = World::new(Knobs::still(4));
    let number = world.create(at(0));
    world.delay_next(Duration::from_secs(45));
    let late = world.update(number, at(10));
    world.settle(at(54));
    assert_eq!(world.rows().get(number).map(|row| row.last_update), Some(at(0)));
    world.settle(at(55));
    assert_eq!(world.rows().get(number).map(|row| row.last_update), late);
    world.delay_next(Duration::from_secs(100));
    world.update(number, at(60));
    world.update(number, at(70));
    world.settle(at(200));
    assert_eq!(world.rows().get(number).map(|row| row.last_update), Some(at(70)));
    assert_eq!(world.truth().len(), 3, "the one of second 60 was never visible");
}

#[test]
fn what_vanished_is_gone_even_where_a_change_was_still_to_come() {
    let mut world = World::new(Knobs::still(5));
    let number = world.create(at(0));
    world.delay_next(Duration::from_secs(60));
    world.update(number, at(10));
    assert!(world.vanish(number, at(20)));
    for second in [20, 70, 200] {
        world.settle(at(second));
        assert!(world.rows().is_empty() && world.get(number, at(second)).is_none(), "at {second}");
    }
    assert!(world.get(number, at(19)).is_some());
    assert!(!world.vanish(number, at(30)) && world.update(number, at(30)).is_none());
    assert_eq!(world.truth()[0].until, Some(at(20)));
}

#[test]
fn the_demo_shows_every_kind_within_half_a_minute() {
    for seed in 0..10 {
        let world = lived(Knobs { seed, ..Knobs::demo() }, 30, Duration::from_millis(200));
        let mut seen = BTreeMap::<IncidentNumber, Value>::new();
        let mut count = BTreeMap::<&str, u32>::new();
        let mut first = None;
        let mut truth = world.truth();
        truth.sort_by_key(|truth| truth.from);
        for truth in truth.iter().filter(|truth| START < truth.from && truth.from <= at(30)) {
            first.get_or_insert(truth.from);
            let json: Value = serde_json::from_str(&truth.revision.json).expect("JSON");
            let kind = match (json["status"].as_str().expect("a status"), seen.get(&truth.revision.number)) {
                (_, None) => "created",
                ("Redirected", Some(_)) => "redirected",
                ("Resolved", Some(before)) if before["status"] != "Resolved" => "resolved",
                (_, Some(_)) => "updated",
            };
            *count.entry(kind).or_default() += 1;
            seen.insert(truth.revision.number, json);
        }
        for (kind, least) in [("created", 20), ("updated", 10), ("resolved", 3), ("redirected", 2)] {
            assert!(least <= count.get(kind).copied().unwrap_or_default(), "seed {seed}: {count:?}");
        }
        assert!(first.expect("something happens") < at(2), "seed {seed}");
    }
}

#[test]
fn a_long_life_forgets_its_past() {
    let knobs = Knobs { incidents_max: 50, history_max: 100, ..wild(6) };
    let world = lived(knobs, 600, Duration::from_secs(1));
    assert!((30..=50).contains(&world.rows().len()), "{}", world.rows().len());
    assert!(world.truth().len() <= 50 + 100 + 200, "{} revisions, some of them still to come", world.truth().len());
}

#[test]
fn many_incidents_have_about_the_size_that_was_asked() {
    for bytes in [3_000, 10_000, 100_000, 1_000_000] {
        let mut world = World::new(Knobs::still(7));
        world.create_many(40, bytes, at(0), at(40));
        world.settle(at(100));
        let sizes: Vec<_> = world.rows().by_number().map(|row| row.json.len()).collect();
        let mean = sizes.iter().sum::<usize>() / sizes.len();
        assert!((bytes * 3 / 4..bytes * 5 / 4).contains(&mean), "{bytes} gave {mean}: {sizes:?}");
        assert_eq!(world.rows().by_update(at(10), at(19)).count(), 10);
    }
}

#[test]
fn the_very_first_change_has_no_other_to_share_a_time_with() {
    let mut world = World::new(Knobs { tie_rate: 1.0, ..Knobs::still(1) });
    world.create_sized(at(0), 2_000);
    world.create_sized(at(9), 2_000);
    world.settle(at(60));
    let times: Vec<_> = world.rows().by_number().map(|row| row.last_update).collect();
    assert_eq!(times, [at(0), at(0)]);
}
