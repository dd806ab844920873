//! What an alert is about besides devices: accounts, files, addresses, mails. Names each the same way in every revision.

use std::borrow::Cow;
use std::fmt::Write;

use crate::model::content::word;
use crate::model::node::Node;
use crate::model::words::Vocabulary;

/// Anything else that an alert is about: an element of `entities`, or evidence of any other kind.
#[derive(Debug, Clone, Copy)]
pub struct Entity<'c>(pub(in crate::model::content) &'c Node<'c>);

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

/// A number, or the digits of one: OData may write 64 bits as a text.
fn number(node: &Node<'_>) -> Option<u64> {
    node.count().or_else(|| node.text()?.parse().ok())
}
