//! Alerts: the few facts that change, and the JSON that grows from their seed the same way each time.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use serde::Serialize;

use crate::model::timestamp::Timestamp;
use crate::sandbox::entity::{Entity, Shape};
use crate::sandbox::names::{self, Dice, SCENARIOS, Scenario, pick};
use crate::sandbox::stamp::{Trimmed, on_tick};

/// States of the investigation, in the order in which an alert goes through them.
const INVESTIGATIONS: [&str; 5] =
    ["UnsupportedAlertType", "Queued", "Running", "PendingApproval", "PartiallyRemediated"];
/// Verdicts on the evidence, in turn.
const VERDICTS: [&str; 3] = ["Suspicious", "Malicious", "NoThreatsFound"];
/// Bytes of an alert without devices and entities, about.
const BARE_SIZE: usize = 870;
/// Bytes of a device, about.
const DEVICE_SIZE: usize = 390;

/// One alert, as little of it as does not grow from the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    seed: u64,
    scenario: u8,
    created: Timestamp,
    updated: Timestamp,
    resolved: Option<Timestamp>,
    severity: &'static str,
    in_progress: bool,
    entities: u16,
    edits: u16,
}

impl Alert {
    /// An alert found at `at`, of about `bytes` bytes of JSON.
    pub fn new(at: Timestamp, bytes: usize, shape: Shape, severity: &'static str, dice: &mut Dice) -> Self {
        let scenario = dice.random_range(0..SCENARIOS.len());
        let device = if SCENARIOS[scenario].on_device { DEVICE_SIZE } else { 0 };
        let size = Entity::size(shape);
        let entities = (bytes.saturating_sub(BARE_SIZE + device) + size / 2) / size;
        Self {
            seed: dice.random(),
            scenario: scenario as u8,
            created: at.earlier(Duration::from_nanos(dice.random_range(100..2_000_000_000))),
            // The alert's own time is somewhat before or after the incident's, never the same by rule.
            updated: on_tick(at.later(Duration::from_millis(dice.random_range(0..900)))),
            resolved: None,
            severity,
            in_progress: false,
            entities: u16::try_from(entities.max(1)).unwrap_or(u16::MAX),
            edits: 0,
        }
    }

    /// What it is about.
    pub fn scenario(&self) -> &'static Scenario {
        &SCENARIOS[usize::from(self.scenario)]
    }

    /// Something of it changes: the investigation goes on, verdicts turn.
    pub fn edit(&mut self, at: Timestamp) {
        self.edits = self.edits.wrapping_add(1);
        self.in_progress = true;
        self.updated = on_tick(at);
    }

    /// More evidence is found.
    pub fn add_entities(&mut self, count: u16, at: Timestamp) {
        self.entities = self.entities.saturating_add(count);
        self.updated = on_tick(at);
    }

    /// Done with.
    pub fn resolve(&mut self, at: Timestamp) {
        self.resolved = Some(at.earlier(Duration::from_nanos(353_256_700)));
        self.updated = on_tick(at);
    }

    /// Active again.
    pub fn reopen(&mut self, at: Timestamp) {
        self.resolved = None;
        self.updated = on_tick(at);
    }

    fn status(&self) -> &'static str {
        match (self.resolved, self.in_progress) {
            (Some(_), _) => "Resolved",
            (None, true) => "InProgress",
            (None, false) => "New",
        }
    }

    /// Its JSON, as part of this incident.
    pub fn json(&self, incident: u64, shape: Shape) -> AlertJson {
        let mut dice = Dice::seed_from_u64(self.seed);
        let scenario = self.scenario();
        let sparse = shape == Shape::Sparse;
        let own_id = names::hex(&mut dice, 40);
        let fill = |text: &str, dice: &mut Dice| {
            text.replace("{user}", pick(dice, &names::PEOPLE))
                .replace("{device}", pick(dice, &names::DEVICES))
                .replace("{file}", pick(dice, &names::FILES))
        };
        let first_activity = self.created.earlier(Duration::from_nanos(dice.random_range(0..7_200_000_000_000)));
        AlertJson {
            alert_id: format!("{}{own_id}", scenario.prefix),
            detector_id: sparse.then(|| names::guid(&mut dice)),
            description: fill(scenario.text, &mut dice),
            devices: if scenario.on_device { vec![DeviceJson::new(shape, &mut dice)] } else { Vec::new() },
            entities: self.entities_json(shape, &mut dice),
            provider_alert_id: sparse.then_some(own_id),
            incident_id: incident,
            service_source: scenario.service,
            creation_time: Trimmed(self.created),
            last_updated_time: Trimmed(self.updated),
            resolved_time: self.resolved.map(Trimmed),
            first_activity: Trimmed(first_activity),
            last_activity: Trimmed(self.created),
            title: scenario.title,
            category: scenario.category,
            status: self.status(),
            severity: self.severity,
            investigation_id: (0 < self.edits).then_some(self.seed % 9_000),
            investigation_state: INVESTIGATIONS[usize::from(self.edits) % INVESTIGATIONS.len()],
            classification: self.resolved.map(|_| "TruePositive"),
            determination: None,
            detection_source: scenario.detection,
            assigned_to: self.in_progress.then_some("Automation"),
            actor_name: None,
            threat_family_name: scenario.title.contains("hacktool").then_some("Credumper"),
            mitre_techniques: scenario.techniques,
        }
    }

    fn entities_json(&self, shape: Shape, dice: &mut Dice) -> Vec<Entity> {
        let kinds = self.scenario().entities;
        let verdict = VERDICTS[usize::from(self.edits) % VERDICTS.len()];
        let kinds = kinds.iter().cycle().take(usize::from(self.entities));
        kinds.map(|kind| Entity::new(kind, shape, self.created, verdict, dice)).collect()
    }
}

/// An alert on Defender's wire, in the order of the wire. Graph's is made of the same: see [`graph`](crate::sandbox::graph).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertJson {
    pub(crate) alert_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) provider_alert_id: Option<String>,
    pub(crate) incident_id: u64,
    pub(crate) service_source: &'static str,
    pub(crate) creation_time: Trimmed,
    pub(crate) last_updated_time: Trimmed,
    pub(crate) resolved_time: Option<Trimmed>,
    pub(crate) first_activity: Trimmed,
    pub(crate) last_activity: Trimmed,
    pub(crate) title: &'static str,
    pub(crate) description: String,
    pub(crate) category: &'static str,
    pub(crate) status: &'static str,
    pub(crate) severity: &'static str,
    pub(crate) investigation_id: Option<u64>,
    pub(crate) investigation_state: &'static str,
    pub(crate) classification: Option<&'static str>,
    pub(crate) determination: Option<&'static str>,
    pub(crate) detection_source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detector_id: Option<String>,
    pub(crate) assigned_to: Option<&'static str>,
    pub(crate) actor_name: Option<&'static str>,
    pub(crate) threat_family_name: Option<&'static str>,
    pub(crate) mitre_techniques: &'static [&'static str],
    pub(crate) devices: Vec<DeviceJson>,
    pub(crate) entities: Vec<Entity>,
}

/// A device on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceJson {
    pub(crate) mdatp_device_id: String,
    pub(crate) aad_device_id: Option<String>,
    pub(crate) device_dns_name: &'static str,
    pub(crate) os_platform: &'static str,
    pub(crate) version: &'static str,
    pub(crate) os_processor: &'static str,
    pub(crate) os_build: u32,
    pub(crate) health_status: &'static str,
    pub(crate) risk_score: &'static str,
    pub(crate) rbac_group_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rbac_group_id: Option<u32>,
    pub(crate) first_seen: Trimmed,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) defender_av_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) onboarding_status: Option<&'static str>,
    // Null on the wire where the shape has it at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vm_metadata: Option<()>,
}

impl DeviceJson {
    fn new(shape: Shape, dice: &mut Dice) -> Self {
        let sparse = shape == Shape::Sparse;
        Self {
            mdatp_device_id: names::hex(dice, 40),
            aad_device_id: dice.random_bool(0.5).then(|| names::guid(dice)),
            device_dns_name: pick(dice, &names::DEVICES),
            os_platform: pick(dice, &["Windows11", "WindowsServer2022", "Linux", "macOS"]),
            version: "23H2",
            os_processor: "x64",
            os_build: dice.random_range(14_393..26_200),
            health_status: pick(dice, &["Active", "Inactive"]),
            risk_score: pick(dice, &["High", "Medium", "Low", "None"]),
            rbac_group_name: dice.random_bool(0.5).then_some("Ring 0 | pilots"),
            rbac_group_id: (!sparse).then_some(9),
            first_seen: Trimmed(Timestamp::from_ticks(dice.random_range(15_900_000..17_600_000) * 1_000_000_007)),
            tags: sparse.then_some(&["new test", "env=prod"]),
            defender_av_status: sparse.then_some("Updated"),
            onboarding_status: sparse.then_some("Onboarded"),
            vm_metadata: sparse.then_some(()),
        }
    }
}
