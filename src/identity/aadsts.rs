//! What Entra's error codes mean for somebody who runs this program. Decides nothing but refused or transient.
//!
//! The codes and their meaning: Microsoft Entra authentication and authorization error codes (`reference-error-codes`); of
//! federated credentials the troubleshooting page of Azure Workload Identity; of certificates those of the Azure SDKs and the
//! constants of Microsoft.Identity.Web.

/// What a code asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Somebody has to do something: the remedy.
    Refused(&'static str),
    /// It may work later by itself: what is the matter.
    Transient(&'static str),
}

/// The meaning of a code, where we know it.
pub(crate) fn meaning(code: u64) -> Option<Meaning> {
    TABLE.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning)
}

const UNKNOWN_CERTIFICATE: &str = "the certificate is not that of the application: upload it (the .pem without the key) under Certificates & secrets of \
     the app registration, and check client_id";
const CERTIFICATE_ENDED: &str = "the certificate has expired or is not valid yet: upload the next one under Certificates & secrets of the app \
     registration, put it into the file, and check the clock of this host";
const CERTIFICATE_REVOKED: &str = "the certificate has been revoked: upload another one under Certificates & secrets of the app registration and put it \
     into the file";
const WRONG_ASSERTION: &str = "the assertion is not valid: check login_url and client_id, and the clock of this host; with a workload identity, whether \
     token_file holds a token of the platform for the audience of the federated credential";
const NO_FEDERATION: &str = "no federated credential of the application matches the platform's token: compare its issuer, subject and audience, \
     letter by letter, under Certificates & secrets of the app registration; a new one takes some minutes to count";

/// Those that a daemon with an application's credential can meet.
const TABLE: [(u64, Meaning); 52] = {
    use Meaning::{Refused, Transient};
    [
        // The secret.
        (
            7000215,
            Refused(
                "the client secret is wrong: the file must hold the secret's Value, not its ID; the Value is shown only once, \
                 so create a new secret under Certificates & secrets of the app registration if it is lost",
            ),
        ),
        (
            7000222,
            Refused(
                "the client secret has expired: create a new one under Certificates & secrets of the app registration and put \
                 its Value into the file",
            ),
        ),
        (70002, Refused("the client secret does not match: the file must hold the secret's Value, not its ID")),
        (7000216, Refused("no credential arrived: check `credential`, and any proxy in between")),
        (7000218, Refused("no credential arrived: check `credential`, and any proxy in between")),
        (
            700025,
            Refused("the application is registered as a public client, which has no secrets: register another one"),
        ),
        // The certificate.
        (700027, Refused(UNKNOWN_CERTIFICATE)),
        (50012, Refused(UNKNOWN_CERTIFICATE)),
        (
            700030,
            Refused(
                "the names in the certificate are not those that the application allows: upload this certificate under \
                 Certificates & secrets of the app registration",
            ),
        ),
        (1000502, Refused(CERTIFICATE_ENDED)),
        (7000274, Refused(CERTIFICATE_ENDED)),
        (7000214, Refused(CERTIFICATE_REVOKED)),
        (7000277, Refused(CERTIFICATE_REVOKED)),
        (50032, Refused("the key of the certificate is too weak: make one of RSA with 2048 bits or more")),
        (
            5002730,
            Refused(
                "the algorithm of the assertion does not fit the key: set algorithm = \"rs256\" beside the certificate",
            ),
        ),
        // Any assertion.
        (
            700024,
            Refused(
                "the assertion is not valid yet or not any more: check the clock of this host; with a workload identity, \
                 whether the platform still renews token_file",
            ),
        ),
        (700021, Refused("the assertion is of another application: check client_id")),
        (50027, Refused(WRONG_ASSERTION)),
        (50013, Refused(WRONG_ASSERTION)),
        (50048, Refused(WRONG_ASSERTION)),
        // The workload identity.
        (70021, Refused(NO_FEDERATION)),
        (
            700211,
            Refused(
                "no federated credential of the application has the issuer of the platform's token: compare them letter by \
                 letter, the slash at the end too, under Certificates & secrets of the app registration",
            ),
        ),
        (
            700212,
            Refused(
                "no federated credential of the application has the audience of the platform's token: it is \
                 api://AzureADTokenExchange, or that of your cloud, on both sides",
            ),
        ),
        (700213, Refused(NO_FEDERATION)),
        (7002138, Refused(NO_FEDERATION)),
        // The application.
        (
            700016,
            Refused(
                "the application is not in this tenant: check client_id and tenant_id, and have an administrator of the tenant \
                 consent to the application",
            ),
        ),
        (
            700011,
            Refused(
                "the application is not in this tenant: check client_id and tenant_id, and have an administrator of the tenant \
                 consent to the application",
            ),
        ),
        (
            700038,
            Refused("client_id is no valid application id: take the Application (client) ID of the app registration"),
        ),
        (7000112, Refused("the application is disabled: enable it under Enterprise applications of the tenant")),
        (70001, Refused("the application is disabled or not in this tenant: look under Enterprise applications")),
        (
            7000229,
            Refused(
                "the application has no service principal in this tenant: have an administrator consent to it there",
            ),
        ),
        (53003, Refused("a Conditional Access policy blocks the application: allow it from this machine's address")),
        // The tenant and the cloud.
        (90002, Refused("there is no such tenant in this cloud: check tenant_id and cloud")),
        (900023, Refused("tenant_id is malformed: it is a GUID or a domain of the tenant")),
        (900382, Refused("the application is of another cloud: check cloud and login_url")),
        (900021, Refused("tenant_id is no valid tenant: check it")),
        (50128, Refused("tenant_id names no tenant: check it")),
        (50059, Refused("tenant_id names no tenant: check it")),
        // What is asked for.
        (70011, Refused("the scope is not valid: check audience, which must name the API of this cloud")),
        (1002012, Refused("the scope is not valid: audience must be the plain URL of the API, without /.default")),
        (
            500011,
            Refused(
                "the tenant does not know the API: check audience and tenant_id, and whether Microsoft Defender XDR is set up \
                 in the tenant",
            ),
        ),
        (500014, Refused("the API is disabled in the tenant: check its Microsoft Defender XDR subscription")),
        (901002, Refused("the sign-in is not the v2 one: login_url must be the plain host of the cloud's sign-in")),
        // What passes.
        (50196, Transient("Entra believes that the application asks in a loop; is it in use elsewhere too?")),
        (90055, Transient("the tenant asks for too many tokens at once")),
        (90006, Transient("a service behind the sign-in is temporarily unavailable")),
        (
            90061,
            Transient(
                "Entra cannot reach the issuer of the platform's token: its /.well-known/openid-configuration has to be public",
            ),
        ),
        (90012, Transient("the request timed out inside Entra")),
        (90024, Transient("a transient error inside Entra")),
        (90025, Transient("a service behind the sign-in has used up its attempts")),
        (90033, Transient("a service behind the sign-in is temporarily unavailable")),
        (50033, Transient("a transient error inside Entra")),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_known_once_and_every_refusal_says_what_to_do() {
        let codes: BTreeSet<_> = TABLE.iter().map(|(code, _)| code).collect();
        assert_eq!(codes.len(), TABLE.len());
        for (code, meaning) in &TABLE {
            if let Meaning::Refused(text) = meaning {
                let (_, remedy) = text.split_once(':').or_else(|| text.split_once(", which")).unwrap_or_default();
                assert!(!remedy.is_empty(), "{code}: {text}");
            }
        }
    }
}
