//! `unmapped`: what the class has no attribute for, by the names of the JSON event where that has one. Words here are the
//! source's own, in Defender's spelling.

use std::borrow::Cow;

use serde::Serialize;

use crate::format::ocsf::Source;
use crate::format::ocsf::attack::Attack;
use crate::format::ocsf::finding::{FINDINGS_MAX, FindingInfo};
use crate::format::remarks::Remarks;
use crate::model::content::Comment;
use crate::model::content::alert::Alert;
use crate::model::content::device::Device;
use crate::model::content::entity::Entity;
use crate::model::event::Change;

/// Tags, and comments, of one record at most.
const REMARKS_MAX: usize = 256;
/// Devices, and entities, of one record at most.
const EVIDENCE_MAX: usize = 4_096;

#[derive(Debug, Serialize)]
pub(in crate::format::ocsf) struct Unmapped<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    incident_id: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    changes: &'a [Change],
    #[serde(flatten)]
    remarks: Remarks<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    determination: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    comments: Vec<Remark<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<AlertRest<'a>>,
    #[serde(skip_serializing_if = "LeftOut::is_nothing")]
    pub(in crate::format::ocsf) left_out: LeftOut,
}

/// How many of each were one too many for a record.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::format::ocsf) struct LeftOut {
    #[serde(skip_serializing_if = "is_zero")]
    alerts: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(in crate::format::ocsf) observables: usize,
    #[serde(skip_serializing_if = "is_zero")]
    tags: usize,
    #[serde(skip_serializing_if = "is_zero")]
    comments: usize,
    #[serde(skip_serializing_if = "is_zero")]
    devices: usize,
    #[serde(skip_serializing_if = "is_zero")]
    entities: usize,
    /// `raw_data` was asked for, and is too long for the release.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::format::ocsf) raw_data: bool,
}

#[derive(Debug, Serialize)]
struct Remark<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

/// What a finding has no attribute for.
#[derive(Debug, Serialize)]
struct AlertRest<'a> {
    /// That of the finding.
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    classification: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    determination: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threat_family: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recommended_actions: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<String>,
    /// Those that are no technique by their form.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    techniques: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<DeviceRest<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entities: Vec<EntityRest<'a>>,
}

#[derive(Debug, Serialize)]
struct DeviceRest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct EntityRest<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remediation_status: Option<Cow<'a, str>>,
}

impl<'a> Unmapped<'a> {
    /// With the alerts that have a finding.
    pub(in crate::format::ocsf) fn of(source: &Source<'a>, findings: &'a [FindingInfo<'a>]) -> Self {
        let Source { event, content, .. } = *source;
        let mut rests = Vec::with_capacity(source.alerts.len().min(FINDINGS_MAX));
        let (mut devices, mut entities) = (Bound::new(EVIDENCE_MAX), Bound::new(EVIDENCE_MAX));
        for (alert, finding) in source.alerts.iter().zip(findings) {
            rests.push(AlertRest::of(*alert, finding.uid.as_str(), &mut devices, &mut entities));
        }
        let (mut tags, mut comments) = (Bound::new(REMARKS_MAX), Bound::new(REMARKS_MAX));
        let kept = (tags.keep(content.tags().into_iter()), comments.keep(content.comments().map(Remark::of)));
        let left_out = LeftOut {
            alerts: source.alerts.len().saturating_sub(FINDINGS_MAX),
            tags: tags.over,
            comments: comments.over,
            devices: devices.over,
            entities: entities.over,
            ..LeftOut::default()
        };
        Self {
            kind: event.kind.as_str(),
            incident_id: event.incident_id.as_str(),
            changes: &event.changes,
            remarks: Remarks::of(event),
            status: content.status(),
            classification: content.classification(),
            determination: content.determination(),
            tenant_id: content.tenant_id(),
            tags: kept.0,
            comments: kept.1,
            alerts: rests,
            left_out,
        }
    }
}

impl<'a> AlertRest<'a> {
    fn of(alert: Alert<'a>, uid: &'a str, devices: &mut Bound, entities: &mut Bound) -> Self {
        Self {
            uid,
            status: alert.status(),
            severity: alert.severity(),
            classification: alert.classification(),
            determination: alert.determination(),
            assigned_to: alert.assignee(),
            actor: alert.actor(),
            threat_family: alert.threat_family(),
            recommended_actions: alert.recommended_actions(),
            resolved: alert.resolved().map(|time| time.to_string()),
            techniques: alert.techniques().filter(|id| Attack::of_technique(id).is_none()).collect(),
            devices: devices.keep(alert.devices().map(DeviceRest::of)),
            entities: entities.keep(alert.entities().map(EntityRest::of)),
        }
    }
}

impl<'a> Remark<'a> {
    fn of(comment: Comment<'a>) -> Self {
        let created = comment.created().map(|time| time.to_string());
        Self { text: comment.text(), author: comment.author(), created }
    }
}

impl<'a> DeviceRest<'a> {
    fn of(device: Device<'a>) -> Self {
        Self {
            name: device.name(),
            id: device.id(),
            directory_id: device.directory_id(),
            platform: device.platform(),
            version: device.version(),
        }
    }
}

impl<'a> EntityRest<'a> {
    fn of(entity: Entity<'a>) -> Self {
        Self { name: entity.name(), verdict: entity.verdict(), remediation_status: entity.remediation_status() }
    }
}

/// Room for a number of things of one sort in a record.
struct Bound {
    room: usize,
    over: usize,
}

impl Bound {
    const fn new(room: usize) -> Self {
        Self { room, over: 0 }
    }

    /// As many as there is room for.
    fn keep<T>(&mut self, mut all: impl Iterator<Item = T>) -> Vec<T> {
        let kept: Vec<T> = all.by_ref().take(self.room).collect();
        self.room -= kept.len();
        self.over += all.count();
        kept
    }
}

impl LeftOut {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it asks about by reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

const fn is_empty(changes: &&[Change]) -> bool {
    changes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut bound = Bound::new(3);
        assert_eq!(bound.keep(0..2), [0, 1]);
        assert_eq!(bound.keep(2..9), [2]);
        assert_eq!((bound.keep(9..10).len(), bound.over), (0, 7));
    }
}
