//! A device of an alert.

use std::borrow::Cow;

use crate::model::content::word;
use crate::model::node::Node;
use crate::model::words::Vocabulary;

/// A device of an alert: an element of `devices`, or evidence of that kind.
#[derive(Debug, Clone, Copy)]
pub struct Device<'c>(pub(in crate::model::content) &'c Node<'c>);

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
