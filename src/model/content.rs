//! What an incident says, the same for both dialects and both shapes of entities: the one place that knows their names. Words
//! of enumerations come in one spelling (`words`); texts, ids and whatever [`Content::root`] gives are as they came.

use std::borrow::Cow;
use std::fmt::Write;

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

/// An alert of an incident.
#[derive(Debug, Clone, Copy)]
pub struct Alert<'c>(&'c Node<'c>);

/// A device of an alert: an element of `devices`, or evidence of that kind.
#[derive(Debug, Clone, Copy)]
pub struct Device<'c>(&'c Node<'c>);

/// Anything else that an alert is about: an element of `entities`, or evidence of any other kind.
#[derive(Debug, Clone, Copy)]
pub struct Entity<'c>(&'c Node<'c>);

/// What an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntityKind {
    /// A person or an account.
    User,
    /// An address.
    Ip,
    /// A URL.
    Url,
    /// A file.
    File,
    /// A process.
    Process,
    /// A mailbox.
    Mailbox,
    /// A mail.
    MailMessage,
    /// Mails that are alike.
    MailCluster,
    /// A key or a value of the registry.
    Registry,
    /// A security group.
    SecurityGroup,
    /// Anything newer.
    Other,
}

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

impl<'c> Device<'c> {
    /// The tree, for what has no name here.
    pub const fn node(self) -> &'c Node<'c> {
        self.0
    }

    /// `deviceDnsName`.
    pub fn name(self) -> Option<&'c str> {
        self.0.first(&["deviceDnsName", "hostName"]).text()
    }

    /// `mdatpDeviceId`, `mdeDeviceId`.
    pub fn id(self) -> Option<&'c str> {
        self.0.first(&["mdatpDeviceId", "mdeDeviceId"]).text()
    }

    /// `aadDeviceId`, `azureAdDeviceId`.
    pub fn directory_id(self) -> Option<&'c str> {
        self.0.first(&["aadDeviceId", "azureAdDeviceId"]).text()
    }

    /// `osPlatform`.
    pub fn platform(self) -> Option<&'c str> {
        self.0.get("osPlatform").text()
    }

    /// `verdict`, which is in Graph's answers only.
    pub fn verdict(self) -> Option<Cow<'c, str>> {
        word(self.0, "verdict", Vocabulary::Verdict)
    }

    /// `remediationStatus`, which is in Graph's answers only.
    pub fn remediation_status(self) -> Option<Cow<'c, str>> {
        word(self.0, "remediationStatus", Vocabulary::RemediationStatus)
    }

    /// `version` of the platform.
    pub fn version(self) -> Option<&'c str> {
        self.0.get("version").text()
    }

    /// `lastIpAddress`, which is in Graph's answers only.
    pub fn address(self) -> Option<&'c str> {
        self.0.get("lastIpAddress").text()
    }
}

impl<'c> Entity<'c> {
    /// The tree, for what has no name here.
    pub const fn node(self) -> &'c Node<'c> {
        self.0
    }

    /// `entityType`, or the last word of `@odata.type` without its `Evidence`, as it came.
    pub fn kind_name(self) -> Option<&'c str> {
        let full = self.0.get("@odata.type").text().and_then(|name| name.rsplit('.').next());
        self.0.get("entityType").text().or(full.map(|name| name.strip_suffix("Evidence").unwrap_or(name)))
    }

    /// What it is.
    pub fn kind(self) -> EntityKind {
        let Some(name) = self.kind_name() else { return EntityKind::Other };
        match name.to_ascii_lowercase().as_str() {
            "user" => EntityKind::User,
            "ip" => EntityKind::Ip,
            "url" => EntityKind::Url,
            "file" => EntityKind::File,
            "process" => EntityKind::Process,
            "mailbox" => EntityKind::Mailbox,
            "mailmessage" | "analyzedmessage" => EntityKind::MailMessage,
            "mailcluster" => EntityKind::MailCluster,
            "registry" | "registrykey" | "registryvalue" => EntityKind::Registry,
            "securitygroup" => EntityKind::SecurityGroup,
            _ => EntityKind::Other,
        }
    }

    /// What it is in one lower-case word: one that is known has the same in both dialects.
    pub fn kind_word(self) -> Option<Cow<'c, str>> {
        let name = self.kind_name()?;
        Some(match self.kind() {
            EntityKind::User => Cow::Borrowed("user"),
            EntityKind::Ip => Cow::Borrowed("ip"),
            EntityKind::Url => Cow::Borrowed("url"),
            EntityKind::File => Cow::Borrowed("file"),
            EntityKind::Process => Cow::Borrowed("process"),
            EntityKind::Mailbox => Cow::Borrowed("mailbox"),
            EntityKind::MailMessage => Cow::Borrowed("mailmessage"),
            EntityKind::MailCluster => Cow::Borrowed("mailcluster"),
            EntityKind::Registry => Cow::Borrowed("registry"),
            EntityKind::SecurityGroup => Cow::Borrowed("securitygroup"),
            EntityKind::Other => Cow::Owned(name.to_ascii_lowercase()),
        })
    }

    /// `accountName`.
    pub fn account_name(self) -> Option<&'c str> {
        self.own_or("userAccount", &["accountName"])
    }

    /// `domainName`.
    pub fn account_domain(self) -> Option<&'c str> {
        self.own_or("userAccount", &["domainName"])
    }

    /// `userSid`.
    pub fn user_sid(self) -> Option<&'c str> {
        self.own_or("userAccount", &["userSid"])
    }

    /// `aadUserId`, `azureAdUserId`.
    pub fn user_directory_id(self) -> Option<&'c str> {
        self.own_or("userAccount", &["aadUserId", "azureAdUserId"])
    }

    /// `userPrincipalName`.
    pub fn user_principal_name(self) -> Option<&'c str> {
        self.own_or("userAccount", &["userPrincipalName"]).or_else(|| self.0.get("upn").text())
    }

    /// `fileName`, of a process that of its image.
    pub fn file_name(self) -> Option<&'c str> {
        self.of_file("fileName")
    }

    /// `filePath`: the folder.
    pub fn file_path(self) -> Option<&'c str> {
        self.of_file("filePath")
    }

    /// `sha1`.
    pub fn sha1(self) -> Option<&'c str> {
        self.of_file("sha1")
    }

    /// `sha256`.
    pub fn sha256(self) -> Option<&'c str> {
        self.of_file("sha256")
    }

    /// `processId`.
    pub fn process_id(self) -> Option<u64> {
        number(self.0.get("processId"))
    }

    /// `processCommandLine`.
    pub fn command_line(self) -> Option<&'c str> {
        self.0.get("processCommandLine").text()
    }

    /// `parentProcessId`.
    pub fn parent_process_id(self) -> Option<u64> {
        number(self.0.get("parentProcessId"))
    }

    /// `ipAddress`; of a mail that of its sender.
    pub fn address(self) -> Option<&'c str> {
        self.0.first(&["ipAddress", "senderIp"]).text()
    }

    /// `url`.
    pub fn url(self) -> Option<&'c str> {
        self.0.get("url").text()
    }

    /// `mailboxAddress`, `primaryAddress`.
    pub fn mailbox(self) -> Option<&'c str> {
        self.0.first(&["mailboxAddress", "primaryAddress"]).text()
    }

    /// `sender`, `p2Sender.emailAddress`.
    pub fn sender(self) -> Option<&'c str> {
        let of_mail = self.0.first(&["p2Sender", "p1Sender"]).get("emailAddress").text();
        self.0.get("sender").text().or(of_mail)
    }

    /// `recipient`, `recipientEmailAddress`.
    pub fn recipient(self) -> Option<&'c str> {
        self.0.first(&["recipient", "recipientEmailAddress"]).text()
    }

    /// `subject`.
    pub fn subject(self) -> Option<&'c str> {
        self.0.get("subject").text()
    }

    /// `internetMessageId`.
    pub fn message_id(self) -> Option<&'c str> {
        self.0.get("internetMessageId").text()
    }

    /// `registryKey`.
    pub fn registry_key(self) -> Option<&'c str> {
        self.0.get("registryKey").text()
    }

    /// `registryValue`.
    pub fn registry_value(self) -> Option<&'c str> {
        self.0.get("registryValue").text()
    }

    /// `securityGroupName`; of a group in Graph `displayName`, `friendlyName`.
    pub fn group_name(self) -> Option<&'c str> {
        let shown = || self.0.first(&["displayName", "friendlyName"]).text();
        let is_group = self.kind() == EntityKind::SecurityGroup;
        self.0.get("securityGroupName").text().or_else(|| shown().filter(|_| is_group))
    }

    /// `verdict`.
    pub fn verdict(self) -> Option<Cow<'c, str>> {
        word(self.0, "verdict", Vocabulary::Verdict)
    }

    /// `remediationStatus`.
    pub fn remediation_status(self) -> Option<Cow<'c, str>> {
        word(self.0, "remediationStatus", Vocabulary::RemediationStatus)
    }

    /// What it is and which one, in one line: `file bad.exe 9f3c…`, `user kim@example.net`. The same entity has the same name in
    /// every revision.
    pub fn name(self) -> String {
        let mut name = self.kind_word().map_or_else(|| "entity".to_owned(), Cow::into_owned);
        let which: &[Option<&str>] = match self.kind() {
            EntityKind::User => &[self.user_principal_name().or(self.user_directory_id()).or(self.account_name())],
            EntityKind::Ip => &[self.address()],
            EntityKind::Url => &[self.url()],
            EntityKind::File => &[self.file_name(), self.file_path(), self.sha256().or(self.sha1())],
            EntityKind::Process => &[self.file_name(), self.command_line()],
            EntityKind::Mailbox => &[self.mailbox().or(self.user_principal_name())],
            EntityKind::MailMessage => &[self.message_id().or(self.subject()), self.recipient()],
            EntityKind::MailCluster => &[self.0.get("clusterByValue").text().or(self.0.get("query").text())],
            EntityKind::Registry => &[self.registry_key(), self.registry_value()],
            EntityKind::SecurityGroup => &[self.group_name()],
            EntityKind::Other => &[self.0.first(&["displayName", "name", "resourceId"]).text()],
        };
        for part in which.iter().flatten() {
            name.push(' ');
            name.push_str(part);
        }
        if let (EntityKind::Process, Some(id)) = (self.kind(), self.process_id()) {
            let _ = write!(name, " {id}");
        }
        name
    }

    fn own_or(self, inside: &str, names: &[&str]) -> Option<&'c str> {
        self.0.first(names).text().or_else(|| self.0.get(inside).first(names).text())
    }

    fn of_file(self, name: &str) -> Option<&'c str> {
        self.0.get(name).text().or_else(|| self.0.first(&["fileDetails", "imageFile"]).get(name).text())
    }
}

fn is_device(evidence: &Node<'_>) -> bool {
    evidence.get("@odata.type").text().is_some_and(|name| name.ends_with(".deviceEvidence"))
}

/// A word in the one spelling that it has here.
fn word<'c>(node: &'c Node<'_>, member: &str, vocabulary: Vocabulary) -> Option<Cow<'c, str>> {
    node.get(member).text().map(|word| vocabulary.written(word))
}

/// A number, or the digits of one: OData may write 64 bits as a text.
fn number(node: &Node<'_>) -> Option<u64> {
    node.count().or_else(|| node.text()?.parse().ok())
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
