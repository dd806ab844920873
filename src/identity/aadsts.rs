//! What Entra's error codes mean for somebody who runs this program. Decides nothing but refused or transient.
//!
//! The codes and their meaning: Microsoft Entra authentication and authorization error codes (`reference-error-codes`).

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

/// `reference-error-codes`, those that a daemon with an application's credential can meet.
const TABLE: [(u64, Meaning); 32] = {
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
        (90012, Transient("the request timed out inside Entra")),
        (90024, Transient("a transient error inside Entra")),
        (90025, Transient("a service behind the sign-in has used up its attempts")),
        (90033, Transient("a service behind the sign-in is temporarily unavailable")),
        (50033, Transient("a transient error inside Entra")),
    ]
};
