//! One incident in both dialects: read by `model::content`, they say the same.

use std::time::Duration;

use xdrelay::model::content::Content;
use xdrelay::model::content::device::Device;
use xdrelay::model::content::entity::Entity;
use xdrelay::model::dialect::Dialect;
use xdrelay::model::incident::{Head, Header};
use xdrelay::model::timestamp::Timestamp;
use xdrelay::sandbox::graph::{self, Alerts, Reader};
use xdrelay::sandbox::knobs::{Knobs, Pace};
use xdrelay::sandbox::rows::Revision;
use xdrelay::sandbox::world::World;

const READER: Reader<'_> = Reader { tenant_id: "5a11d0b0-7e57-4000-8000-00000000c0de", wants_newer: true };

/// Half a minute in which everything happens.
fn lived(seed: u64) -> World {
    let every = Duration::from_millis;
    let pace = Pace {
        create: every(900),
        update: every(500),
        resolve: every(2_000),
        reopen: every(5_000),
        merge: every(3_000),
        edit_alert_only: every(3_000),
        vanish: Duration::ZERO,
    };
    let mut world = World::new(Knobs { seed, pace, calm: Duration::ZERO, size_max: 9_000, ..Knobs::demo() });
    let start = Timestamp::from_seconds(1_800_000_000);
    world.advance(start);
    world.advance(start.later(Duration::from_secs(30)));
    world
}

fn header(json: &str) -> Header {
    match Head::read(json) {
        Head::Usual(header) => header,
        Head::Odd { why, .. } => panic!("{why}: {json}"),
    }
}

/// What both dialects have, in one text per line.
fn said(json: &str) -> Vec<String> {
    let content = Content::of(json);
    let header = header(json);
    let mut said = vec![
        format!("id {} {:?} {:?} {:?}", header.id, header.last_update, header.created, header.fields.redirected_to),
        format!("title {:?} tags {:?} to {:?}", content.title(), content.tags(), content.assignee()),
        format!("times {:?} {:?}", content.created(), content.last_update()),
    ];
    said.push(format!("{:?} {:?}", content.status(), content.severity()));
    said.push(format!("{:?} {:?}", content.classification(), content.determination()));
    said.extend(content.comments().map(|c| format!("comment {:?} {:?} {:?}", c.text(), c.author(), c.created())));
    for alert in content.alerts() {
        said.push(format!("alert {:?} {:?} {:?}", alert.id(), alert.title(), alert.description()));
        said.push(format!("{:?} {:?} {:?}", alert.category(), alert.detector_id(), alert.assignee()));
        said.push(format!("{:?} {:?}", alert.service_source(), alert.detection_source()));
        said.push(format!("{:?} {:?} {:?}", alert.status(), alert.severity(), alert.classification()));
        said.push(format!("{:?} {:?}", alert.actor(), alert.threat_family()));
        said.push(format!("{:?} {:?} {:?}", alert.created(), alert.last_update(), alert.resolved()));
        said.push(format!("{:?} {:?}", alert.first_activity(), alert.last_activity()));
        said.push(format!("{:?}", alert.techniques().collect::<Vec<_>>()));
        said.extend(alert.devices().map(of_device));
        said.extend(alert.entities().map(of_entity));
    }
    said
}

fn of_device(device: Device<'_>) -> String {
    let (system, version) = (device.platform(), device.version());
    format!("device {:?} {:?} {:?} {system:?} {version:?}", device.name(), device.id(), device.directory_id())
}

fn of_entity(entity: Entity<'_>) -> String {
    let file = [entity.file_name(), entity.file_path(), entity.sha1(), entity.sha256()];
    let process = (entity.process_id(), entity.command_line(), entity.parent_process_id());
    let user = [entity.account_name(), entity.account_domain(), entity.user_sid(), entity.user_directory_id()];
    let mail = [entity.mailbox(), entity.sender(), entity.recipient(), entity.subject(), entity.message_id()];
    let rest = [entity.address(), entity.url(), entity.registry_key(), entity.registry_value(), entity.group_name()];
    format!("{:?} {} {file:?} {process:?} {user:?} {mail:?} {rest:?}", entity.kind(), entity.name())
}

/// A revision in both dialects.
fn both(revision: &Revision) -> [String; 2] {
    Dialect::ALL.map(|dialect| revision.told(dialect, READER.tenant_id).to_owned())
}

#[test]
fn an_incident_says_the_same_in_both_dialects() {
    let mut revisions = 0;
    for seed in 0..8 {
        for truth in lived(seed).truth() {
            let [defender, graph] = both(&truth.revision);
            assert_eq!(said(&defender), said(&graph), "seed {seed}\n{defender}\n{graph}");
            revisions += 1;
        }
    }
    assert!(500 < revisions, "{revisions}");
}

#[test]
fn only_its_alerts_are_missing_where_they_come_apart() {
    let world = lived(1);
    for truth in world.truth() {
        let facts = truth.revision.facts.incident();
        let whole = graph::incident(facts, READER, &Alerts::Within);
        let [bare, whole] = [graph::incident(facts, READER, &Alerts::Apart), whole]
            .map(|json| serde_json::from_str::<serde_json::Value>(&json).expect("JSON"));
        let mut put_together = bare;
        let alerts = graph::alerts(facts, READER, 0, usize::MAX);
        let alerts = alerts.iter().map(|alert| serde_json::from_str(alert).expect("JSON"));
        put_together["alerts"] = alerts.collect::<Vec<serde_json::Value>>().into();
        assert_eq!(put_together, whole);
    }
}
