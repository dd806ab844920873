//! An alert of an incident, and what it is about.

use std::borrow::Cow;

use crate::model::content::device::Device;
use crate::model::content::entity::Entity;
use crate::model::content::{time, word};
use crate::model::node::Node;
use crate::model::timestamp::Timestamp;
use crate::model::words::Vocabulary;

/// An alert of an incident.
#[derive(Debug, Clone, Copy)]
pub struct Alert<'c>(pub(in crate::model::content) &'c Node<'c>);

impl<'c> Alert<'c> {
    /// The tree, for what has no name here.
    pub const fn node(self) -> &'c Node<'c> {
        self.0
    }

    /// `alertId`, `id`.
    pub fn id(self) -> Option<Cow<'c, str>> {
        self.0.first(&["alertId", "id"]).shown()
    }

    /// `providerAlertId`.
    pub fn provider_id(self) -> Option<&'c str> {
        self.0.get("providerAlertId").text()
    }

    /// `title`.
    pub fn title(self) -> Option<&'c str> {
        self.0.get("title").text()
    }

    /// `description`.
    pub fn description(self) -> Option<&'c str> {
        self.0.get("description").text()
    }

    /// `recommendedActions`, which is in Graph's answers only.
    pub fn recommended_actions(self) -> Option<&'c str> {
        self.0.get("recommendedActions").text()
    }

    /// `category`.
    pub fn category(self) -> Option<&'c str> {
        self.0.get("category").text()
    }

    /// `severity`.
    pub fn severity(self) -> Option<Cow<'c, str>> {
        word(self.0, "severity", Vocabulary::Severity)
    }

    /// `status`.
    pub fn status(self) -> Option<Cow<'c, str>> {
        word(self.0, "status", Vocabulary::Status)
    }

    /// `classification`. Of an alert without any Defender says null and Graph `unknown`; both are none.
    pub fn classification(self) -> Option<Cow<'c, str>> {
        word(self.0, "classification", Vocabulary::Classification)
            .filter(|word| !Vocabulary::Classification.is_unset(word))
    }

    /// `determination`. Of an alert without any Defender says null and Graph `unknown`; both are none.
    pub fn determination(self) -> Option<Cow<'c, str>> {
        word(self.0, "determination", Vocabulary::Determination)
            .filter(|word| !Vocabulary::Determination.is_unset(word))
    }

    /// `assignedTo`.
    pub fn assignee(self) -> Option<&'c str> {
        self.0.get("assignedTo").text()
    }

    /// `serviceSource`.
    pub fn service_source(self) -> Option<Cow<'c, str>> {
        word(self.0, "serviceSource", Vocabulary::ServiceSource)
    }

    /// `detectionSource`.
    pub fn detection_source(self) -> Option<Cow<'c, str>> {
        word(self.0, "detectionSource", Vocabulary::DetectionSource)
    }

    /// `detectorId`.
    pub fn detector_id(self) -> Option<&'c str> {
        self.0.get("detectorId").text()
    }

    /// `actorName`, `actorDisplayName`.
    pub fn actor(self) -> Option<&'c str> {
        self.0.first(&["actorName", "actorDisplayName"]).text()
    }

    /// `threatFamilyName`.
    pub fn threat_family(self) -> Option<&'c str> {
        self.0.get("threatFamilyName").text()
    }

    /// `alertWebUrl`, which is in Graph's answers only.
    pub fn url(self) -> Option<&'c str> {
        self.0.get("alertWebUrl").text()
    }

    /// `creationTime`, `createdDateTime`.
    pub fn created(self) -> Option<Timestamp> {
        time(self.0.first(&["creationTime", "createdDateTime"]))
    }

    /// `lastUpdatedTime`, `lastUpdateDateTime`.
    pub fn last_update(self) -> Option<Timestamp> {
        time(self.0.first(&["lastUpdatedTime", "lastUpdateDateTime"]))
    }

    /// `resolvedTime`, `resolvedDateTime`.
    pub fn resolved(self) -> Option<Timestamp> {
        time(self.0.first(&["resolvedTime", "resolvedDateTime"]))
    }

    /// `firstActivity`, `firstActivityDateTime`.
    pub fn first_activity(self) -> Option<Timestamp> {
        time(self.0.first(&["firstActivity", "firstActivityDateTime"]))
    }

    /// `lastActivity`, `lastActivityDateTime`.
    pub fn last_activity(self) -> Option<Timestamp> {
        time(self.0.first(&["lastActivity", "lastActivityDateTime"]))
    }

    /// `mitreTechniques`: `T1059`, `T1059.001`.
    pub fn techniques(self) -> impl Iterator<Item = &'c str> {
        self.0.get("mitreTechniques").list().iter().filter_map(Node::text)
    }

    /// Its devices.
    pub fn devices(self) -> impl Iterator<Item = Device<'c>> {
        let evidence = self.0.get("evidence").list().iter().filter(|node| is_device(node));
        self.0.get("devices").list().iter().chain(evidence).map(Device)
    }

    /// Everything else that it is about.
    pub fn entities(self) -> impl Iterator<Item = Entity<'c>> {
        let evidence = self.0.get("evidence").list().iter().filter(|node| !is_device(node));
        self.0.get("entities").list().iter().chain(evidence).map(Entity)
    }
}

fn is_device(evidence: &Node<'_>) -> bool {
    evidence.get("@odata.type").text().is_some_and(|name| name.ends_with(".deviceEvidence"))
}
