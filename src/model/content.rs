//! What an incident says, the same for both dialects and both shapes of entities: the one place that knows their names. Words
//! of enumerations come in one spelling (`words`); texts, ids and whatever [`Content::root`] gives are as they came.

pub mod alert;
pub mod device;
pub mod entity;

use std::borrow::Cow;

use crate::model::content::alert::Alert;
use crate::model::node::Node;
use crate::model::timestamp::Timestamp;
use crate::model::words::Vocabulary;

/// An incident that was read.
#[derive(Debug)]
pub struct Content<'a> {
    root: Node<'a>,
}

/// A remark of an analyst.
#[derive(Debug, Clone, Copy)]
pub struct Comment<'c>(&'c Node<'c>);

impl<'a> Content<'a> {
    /// Reads an incident's JSON.
    pub fn of(json: &'a str) -> Self {
        Self { root: Node::parse(json) }
    }

    /// The tree, for what has no name here.
    pub const fn root(&self) -> &Node<'a> {
        &self.root
    }

    /// `incidentName`, `displayName`.
    pub fn title(&self) -> Option<&str> {
        self.root.first(&["incidentName", "displayName"]).text()
    }

    /// `status`.
    pub fn status(&self) -> Option<Cow<'_, str>> {
        word(&self.root, "status", Vocabulary::Status)
    }

    /// `severity`.
    pub fn severity(&self) -> Option<Cow<'_, str>> {
        word(&self.root, "severity", Vocabulary::Severity)
    }

    /// `classification`.
    pub fn classification(&self) -> Option<Cow<'_, str>> {
        word(&self.root, "classification", Vocabulary::Classification)
    }

    /// `determination`.
    pub fn determination(&self) -> Option<Cow<'_, str>> {
        word(&self.root, "determination", Vocabulary::Determination)
    }

    /// `assignedTo`.
    pub fn assignee(&self) -> Option<&str> {
        self.root.get("assignedTo").text()
    }

    /// `redirectIncidentId`.
    pub fn redirected_to(&self) -> Option<Cow<'_, str>> {
        self.root.get("redirectIncidentId").shown()
    }

    /// `description`, and `summary` where only that is there.
    pub fn description(&self) -> Option<&str> {
        self.root.first(&["description", "summary"]).text()
    }

    /// `incidentUri`, `incidentWebUrl`.
    pub fn url(&self) -> Option<&str> {
        self.root.first(&["incidentUri", "incidentWebUrl"]).text()
    }

    /// `tenantId`, which is in Graph's answers only; else what the link says: `…?tid=11111111-2222-3333-4444-555555555555`.
    pub fn tenant_id(&self) -> Option<&str> {
        let in_link = || {
            let (_, query) = self.url()?.split_once('?')?;
            query.split(['&', '#']).find_map(|pair| pair.strip_prefix("tid=")).filter(|id| is_guid(id))
        };
        self.root.get("tenantId").text().or_else(in_link)
    }

    /// `createdTime`, `createdDateTime`.
    pub fn created(&self) -> Option<Timestamp> {
        time(self.root.first(&["createdTime", "createdDateTime"]))
    }

    /// `lastUpdateTime`, `lastUpdateDateTime`.
    pub fn last_update(&self) -> Option<Timestamp> {
        time(self.root.first(&["lastUpdateTime", "lastUpdateDateTime"]))
    }

    /// `tags`, `customTags` and `systemTags`, each once, in order.
    pub fn tags(&self) -> Vec<&str> {
        let mut tags: Vec<&str> = Vec::new();
        for name in ["tags", "customTags", "systemTags"] {
            tags.extend(self.root.get(name).list().iter().filter_map(Node::text));
        }
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Those of `systemTags` that nobody has given it besides: Graph alone tells them apart.
    pub fn system_tags(&self) -> Vec<&str> {
        let texts = |name| self.root.get(name).list().iter().filter_map(Node::text);
        let is_given = |tag: &&str| texts("tags").chain(texts("customTags")).any(|given| given == *tag);
        texts("systemTags").filter(|tag| !is_given(tag)).collect()
    }

    /// `comments`.
    pub fn comments(&self) -> impl Iterator<Item = Comment<'_>> {
        self.root.get("comments").list().iter().map(Comment)
    }

    /// `alerts`.
    pub fn alerts(&self) -> impl Iterator<Item = Alert<'_>> {
        self.root.get("alerts").list().iter().map(Alert)
    }
}

impl<'c> Comment<'c> {
    /// What it says.
    pub fn text(self) -> Option<&'c str> {
        self.0.get("comment").text()
    }

    /// Who wrote it.
    pub fn author(self) -> Option<&'c str> {
        self.0.first(&["createdBy", "createdByDisplayName"]).text()
    }

    /// When.
    pub fn created(self) -> Option<Timestamp> {
        time(self.0.first(&["createdTime", "createdDateTime"]))
    }
}

/// A word in the one spelling that it has here.
fn word<'c>(node: &'c Node<'_>, member: &str, vocabulary: Vocabulary) -> Option<Cow<'c, str>> {
    node.get(member).text().map(|word| vocabulary.written(word))
}

fn is_guid(text: &str) -> bool {
    let is_in_place = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_in_place)
}

fn time(node: &Node<'_>) -> Option<Timestamp> {
    node.text()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::content::entity::{Entity, EntityKind};

    #[test]
    fn both_dialects_say_the_same() {
        let check = |json: &str| {
            let content = Content::of(json);
            assert_eq!((content.title(), content.url(), content.tags()), (Some("t"), Some("u"), vec!["a", "b"]));
            assert_eq!(content.redirected_to().as_deref(), Some("9"));
            assert_eq!(content.comments().next().and_then(Comment::author), Some("kim"));
            let alert = content.alerts().next().expect("an alert");
            assert_eq!((alert.id().as_deref(), alert.actor()), (Some("da1"), Some("x")));
            assert!(alert.created().is_some() && alert.last_update().is_some() && alert.first_activity().is_some());
            let device = alert.devices().next().expect("a device");
            assert_eq!((device.name(), device.id()), (Some("pc1"), Some("d1")));
            let names: Vec<String> = alert.entities().map(Entity::name).collect();
            assert_eq!(names, ["user kim@example.net", "process a.exe a.exe -x 7"]);
            let process = alert.entities().nth(1).expect("a process");
            assert_eq!((process.kind(), process.sha256()), (EntityKind::Process, Some("99")));
        };
        check(
            r#"{"incidentName":"t","incidentUri":"u","tags":["b","a"],"redirectIncidentId":9,"comments":[{"createdBy":"kim"}],
            "alerts":[{"alertId":"da1","actorName":"x","creationTime":"2026-01-01T00:00:00Z","lastUpdatedTime":"2026-01-01T00:00:00Z",
            "firstActivity":"2026-01-01T00:00:00Z","devices":[{"deviceDnsName":"pc1","mdatpDeviceId":"d1"}],
            "entities":[{"entityType":"User","userPrincipalName":"kim@example.net","sha1":null},
            {"entityType":"Process","fileName":"a.exe","processId":7,"processCommandLine":"a.exe -x","sha256":"99"}]}]}"#,
        );
        check(
            r##"{"displayName":"t","incidentWebUrl":"u","customTags":["b"],"systemTags":["a"],"redirectIncidentId":"9",
            "comments":[{"createdByDisplayName":"kim"}],
            "alerts":[{"id":"da1","actorDisplayName":"x","createdDateTime":"2026-01-01T00:00:00Z","lastUpdateDateTime":"2026-01-01T00:00:00Z",
            "firstActivityDateTime":"2026-01-01T00:00:00Z","evidence":[
            {"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"pc1","mdeDeviceId":"d1"},
            {"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"userPrincipalName":"kim@example.net"}},
            {"@odata.type":"#microsoft.graph.security.processEvidence","processId":7,"processCommandLine":"a.exe -x",
             "imageFile":{"fileName":"a.exe","sha256":"99"}}]}]}"##,
        );
    }

    #[test]
    fn both_dialects_say_the_same_words() {
        let check = |json: &str| {
            let content = Content::of(json);
            let words = [content.status(), content.severity(), content.classification(), content.determination()];
            let expected = ["InProgress", "UnSpecified", "Unknown", "Clean"];
            assert_eq!(words.map(Option::unwrap_or_default), expected.map(Cow::Borrowed), "{json}");
            let alert = content.alerts().next().expect("an alert");
            assert_eq!((alert.classification(), alert.determination()), (None, None));
            let sources = (alert.service_source(), alert.detection_source());
            assert_eq!(sources, (Some("MicrosoftDefenderForEndpoint".into()), Some("WindowsDefenderAv".into())));
            let evidence: Vec<_> = alert.entities().map(|entity| (entity.name(), entity.verdict())).collect();
            let named = |name: &str, verdict: &'static str| (name.to_owned(), Some(Cow::Borrowed(verdict)));
            assert_eq!(
                evidence,
                [
                    named("mailmessage <a@example.net> jules@example.net", "NoThreatsFound"),
                    named("securitygroup Domain Admins", "Suspicious"),
                    named(r"registry SOFTWARE\a b", "Malicious"),
                ]
            );
        };
        check(
            r#"{"status":"InProgress","severity":"UnSpecified","classification":"Unknown","determination":"Clean","alerts":[
            {"serviceSource":"MicrosoftDefenderATP","detectionSource":"WindowsDefenderAv","classification":null,"entities":[
            {"entityType":"MailMessage","verdict":"NoThreatsFound","internetMessageId":"<a@example.net>","recipient":"jules@example.net"},
            {"entityType":"SecurityGroup","verdict":"Suspicious","securityGroupName":"Domain Admins"},
            {"entityType":"Registry","verdict":"Malicious","registryKey":"SOFTWARE\\a","registryValue":"b"}]}]}"#,
        );
        check(
            r##"{"status":"inProgress","severity":"unknown","classification":"unknown","determination":"notMalicious","alerts":[
            {"serviceSource":"microsoftDefenderForEndpoint","detectionSource":"antivirus","classification":"unknown",
            "determination":"unknown","evidence":[
            {"@odata.type":"#microsoft.graph.security.analyzedMessageEvidence","verdict":"noThreatsFound",
             "internetMessageId":"<a@example.net>","recipientEmailAddress":"jules@example.net"},
            {"@odata.type":"#microsoft.graph.security.securityGroupEvidence","verdict":"suspicious","displayName":"Domain Admins"},
            {"@odata.type":"#microsoft.graph.security.registryValueEvidence","verdict":"malicious",
             "registryKey":"SOFTWARE\\a","registryValue":"b"}]}]}"##,
        );
    }

    #[test]
    fn the_tenant_is_in_the_link_where_nothing_else_says_it() {
        let check = |json: &str, expected: Option<&str>| assert_eq!(Content::of(json).tenant_id(), expected, "{json}");
        let id = "11111111-2222-3333-4444-555555555555";
        check(&format!(r#"{{"tenantId":"t","incidentUri":"https://x/1?tid={id}"}}"#), Some("t"));
        check(&format!(r#"{{"incidentUri":"https://x/1?a=b&tid={id}#c"}}"#), Some(id));
        check(r#"{"incidentUri":"https://x/1?tid=1|2=3"}"#, None);
        check(r#"{"incidentUri":"https://x/1"}"#, None);
    }

    #[test]
    fn a_tag_that_somebody_gave_is_not_the_systems() {
        let content = Content::of(r#"{"tags":["a"],"customTags":["b"],"systemTags":["c","b","a","d"]}"#);
        assert_eq!((content.tags(), content.system_tags()), (vec!["a", "b", "c", "d"], vec!["c", "d"]));
    }

    #[test]
    fn what_is_no_incident_says_nothing() {
        for json in ["null", "[]", "7", r#"{"alerts":7,"tags":{},"comments":"x","incidentName":[]}"#] {
            let content = Content::of(json);
            assert_eq!((content.title(), content.tags().len(), content.alerts().count()), (None, 0, 0), "{json}");
        }
    }
}
