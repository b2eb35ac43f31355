//! Reference values that come in signed manifests: by whom, what they do, and what a change would do.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test owns its sockets, files and clock, and says where it cannot go on"
)]
#![cfg(feature = "demo")]

#[path = "support/corim.rs"]
mod corim;

use std::sync::Arc;

use bartizan_crypto::{RUSTCRYPTO, Secret};
use bartizan_device::attest::Carry;
use bartizan_server::app::changes::NewChange;
use bartizan_server::app::references::PolicyView;
use bartizan_server::app::trials::TrialView;
use bartizan_server::app::trusted_keys::{KeyRole, NewTrustedKey};
use bartizan_server::app::{Actor, App, AppOptions, Error, Misuse, NewDevice, Paging};
use bartizan_server::clock::Clock;
use bartizan_server::store::MasterKey;
use bartizan_sim::{CHAIN_BYTES, Flash, RELEASES};
use bartizan_trust::challenge::binding;
use bartizan_wire::{Access, DeviceKey, TenantId};

use corim::{Corim, MODEL, VENDOR, pem};

const METER: &str = "water meter";
const ACME: u8 = 1;
const OTHER: u8 = 2;

fn ada() -> Actor {
    Actor("ada".into())
}

/// A city that holds its meters to what Acme signs, and a neighbour.
struct City {
    app: Arc<App>,
    tenant: TenantId,
    neighbour: TenantId,
    folder: tempfile::TempDir,
}

impl City {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = MasterKey::from_bytes([42; 32]);
        let app = App::open(AppOptions::new(folder.path().join("data"), key, Clock::real())).await.unwrap();
        for name in ["city", "neighbour"] {
            let upstream = format!("log:{}", folder.path().join(name).display());
            app.add_tenant(&ada(), name, upstream.parse().unwrap()).await.unwrap();
        }
        let tenant = app.tenant_id("city").await.unwrap();
        let neighbour = app.tenant_id("neighbour").await.unwrap();
        let city = Self { app, tenant, neighbour, folder };
        city.app.add_type(&ada(), tenant, METER).await.unwrap();
        let layers = RELEASES.map(|release| release.component.to_owned()).to_vec();
        let (vendor, model) = (Some(VENDOR.into()), Some(MODEL.into()));
        let policy = PolicyView { layers, vendor, model, ..PolicyView::default() };
        city.app.set_attestation_policy(&ada(), tenant, METER, &policy).await.unwrap();
        city.endorse(tenant, "Acme release key", ACME).await;
        city.endorse(neighbour, "Other release key", OTHER).await;
        city
    }

    async fn endorse(&self, tenant: TenantId, name: &str, key: u8) {
        let new = NewTrustedKey { name: name.into(), key: pem(key) };
        self.app.add_trusted_key(&ada(), tenant, KeyRole::Signer, &new).await.unwrap();
    }

    async fn meter(&self, name: &str, secret: u8) -> DeviceKey {
        let device = NewDevice { name: name.into(), device_type: METER.into(), ..NewDevice::default() };
        self.app.add_device(&ada(), self.tenant, device).await.unwrap();
        let key = self.app.device_key(self.tenant, name).await.unwrap();
        self.app.set_identity(&ada(), key, &Flash::identity([secret; 32]).to_string()).await.unwrap();
        key
    }

    /// A start of the meter, and its evidence.
    async fn attest(&self, meter: DeviceKey, flash: &mut Flash) -> String {
        self.attest_with(meter, flash, &[Carry::Chain]).await
    }

    /// The same with one evidence after the other; answers the last verdict.
    async fn attest_with(&self, meter: DeviceKey, flash: &mut Flash, carries: &[Carry]) -> String {
        let device = self.app.load_device(meter).await.unwrap().unwrap();
        let exporter = Secret::new([9; 32]);
        let mut random = |out: &mut [u8]| getrandom::fill(out).unwrap();
        let (mut chain, mut out) = ([0; CHAIN_BYTES], [0; 3_000]);
        let attester = flash.start(&mut random, &mut chain);
        let mut tier = String::new();
        for carry in carries {
            let challenge = self.app.challenge(&device).await.unwrap();
            let binding = binding(&RUSTCRYPTO, &exporter, &challenge);
            let evidence = attester.evidence(&RUSTCRYPTO, &mut random, &challenge, &binding, *carry, &mut out);
            let length = evidence.unwrap();
            tier = self.app.attest(&device, &exporter, &out[..length]).await.unwrap().name().to_owned();
        }
        tier
    }

    async fn import(&self, corim: &Corim, by: u8) -> Result<u64, Error> {
        let imported = self.app.import_manifest(&ada(), self.tenant, corim.signed(by)).await;
        imported.map(|view| view.values)
    }

    async fn try_import(&self, corim: &Corim) -> TrialView {
        self.app.try_manifest(self.tenant, corim.signed(ACME), &Paging::default()).await.unwrap()
    }

    async fn try_change(&self, change: &NewChange) -> TrialView {
        self.app.try_change(self.tenant, change, &Paging::default()).await.unwrap()
    }

    async fn change(&self, change: &NewChange) -> Result<u64, Error> {
        let changed = self.app.change_references(&ada(), self.tenant, change).await;
        changed.map(|view| view.values)
    }

    /// Who did what to reference values and signers.
    async fn audited(&self) -> Vec<String> {
        let file = self.folder.path().join("data").join("operator.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let select = "SELECT actor || ': ' || action || ' ' || subject || ': ' || detail FROM audit \
                      WHERE action LIKE 'reference.%' OR action LIKE 'signer.%' ORDER BY id";
        sqlx::query_scalar(select).fetch_all(&pool).await.unwrap()
    }

    /// Versions and statuses of the reference values.
    async fn known(&self) -> Vec<(String, String)> {
        let values = self.app.reference_values(self.tenant, METER).await.unwrap();
        values.into_iter().map(|value| (value.version.unwrap(), value.status)).collect()
    }
}

fn status(version: &str, status: &str, until: Option<&str>) -> NewChange {
    NewChange::Status {
        device_type: METER.into(),
        component: "firmware".into(),
        version: version.into(),
        status: status.into(),
        until: until.map(Into::into),
    }
}

fn floor(security_version: u64) -> NewChange {
    NewChange::Floor { device_type: METER.into(), security_version }
}

/// The next release of the firmware, from a tag that takes the place of the last one.
fn next_release() -> Corim {
    let mut corim = Corim { tag_version: 2, ..Corim::released() };
    let firmware = corim.values.last_mut().unwrap();
    (firmware.version, firmware.security_version, firmware.sha512) = ("2.5.0".into(), 6, [0x25; 64]);
    corim
}

#[tokio::test]
async fn a_signed_manifest_is_what_a_meter_is_affirmed_by() {
    let city = City::new().await;
    let (meter, mut flash) = (city.meter("meter-1", 1).await, Flash::new([1; 32]));
    assert_eq!(city.attest(meter, &mut flash).await, "warning", "nobody has said what good firmware is");
    let view = city.app.import_manifest(&ada(), city.tenant, Corim::released().signed(ACME)).await.unwrap();
    assert_eq!((view.values, view.signer.as_str()), (2, "Acme release key"));
    assert_eq!((view.types, view.unclaimed), (vec![METER.to_owned()], vec![]));
    assert_eq!((view.tags[0].tag.as_str(), view.tags[0].version), ("wm-release", 1));
    assert_eq!(city.attest(meter, &mut flash).await, "affirming");
    let source = &city.app.reference_values(city.tenant, METER).await.unwrap()[0].source;
    assert_eq!(source, "tag wm-release version 1 of manifest acme-wm, signed by Acme release key");
    assert_eq!(city.import(&Corim::released(), ACME).await.unwrap(), 0, "the same again changes nothing");
    flash.patch_firmware();
    assert_eq!(city.attest(meter, &mut flash).await, "contraindicated");
}

#[tokio::test]
async fn a_signer_speaks_for_its_own_tenant_only() {
    let city = City::new().await;
    for by in [OTHER, 3] {
        let refused = city.import(&Corim::released(), by).await.unwrap_err();
        assert!(matches!(refused, Error::Untrusted(_)), "{refused}");
        assert!(refused.to_string().contains("no configured signer"), "{refused}");
    }
    assert_eq!(city.known().await, []);
    let there = city.app.import_manifest(&ada(), city.neighbour, Corim::released().signed(OTHER)).await.unwrap();
    assert_eq!(there.unclaimed, ["Acme WM-100"], "kept, though the neighbour has no such meters");
    assert_eq!((there.values, city.known().await.len()), (2, 0));
    // Who is taken away brings nothing more, and what was brought stays.
    city.import(&Corim::released(), ACME).await.unwrap();
    city.app.remove_trusted_key(&ada(), city.tenant, KeyRole::Signer, "Acme release key").await.unwrap();
    assert!(matches!(city.import(&next_release(), ACME).await, Err(Error::Untrusted(_))));
    assert_eq!(city.known().await.len(), 2);
}

#[tokio::test]
async fn signers_have_one_name_and_one_key_each() {
    let city = City::new().await;
    let add = async |name: &str, key: String| {
        let new = NewTrustedKey { name: name.into(), key };
        city.app.add_trusted_key(&ada(), city.tenant, KeyRole::Signer, &new).await.unwrap_err()
    };
    assert!(matches!(add("Acme release key", pem(3)).await, Error::Misuse(Misuse::Exists(_))));
    let taken = add("another", pem(ACME)).await.to_string();
    assert!(taken.contains("Acme release key"), "{taken}");
    for bad in ["", "no key", &pem(3).replace("PUBLIC", "PRIVATE"), &pem(3)[..120], &"A".repeat(10_000)] {
        assert!(matches!(add("another", bad.to_owned()).await, Error::Malformed(_)), "{bad}");
    }
    assert!(matches!(add("two\nlines", pem(3)).await, Error::Malformed(_)));
    let known = city.app.trusted_keys(city.tenant, KeyRole::Signer).await.unwrap();
    assert_eq!((known.len(), known[0].algorithm.as_str(), known[0].added_by.as_str()), (1, "P-256", "ada"));
    for key in 3..34 {
        city.endorse(city.tenant, &format!("signer {key}"), key).await;
    }
    assert!(matches!(add("one too many", pem(34)).await, Error::Misuse(Misuse::Full(_))));
    let gone = city.app.remove_trusted_key(&ada(), city.tenant, KeyRole::Signer, "another").await;
    assert!(matches!(gone, Err(Error::Misuse(Misuse::Unknown(_)))));
}

#[tokio::test]
async fn what_was_rolled_back_or_contradicts_is_refused_and_both_are_named() {
    let city = City::new().await;
    city.import(&next_release(), ACME).await.unwrap();
    let rolled_back = city.import(&Corim::released(), ACME).await.unwrap_err();
    assert!(matches!(rolled_back, Error::Misuse(Misuse::Conflict(_))), "{rolled_back}");
    assert!(rolled_back.to_string().contains("version 1 is older than version 2"), "{rolled_back}");
    let mut other = Corim { tag: "wm-other", ..next_release() };
    other.values[1].sha512 = [0x66; 64];
    let conflict = city.import(&other, ACME).await.unwrap_err().to_string();
    assert!(conflict.contains("wm-release") && conflict.contains("wm-other"), "{conflict}");
    let before = city.known().await;
    let tried = city.app.try_manifest(city.tenant, other.signed(ACME), &Paging::default()).await;
    assert!(matches!(tried, Err(Error::Misuse(Misuse::Conflict(_)))));
    assert_eq!(city.known().await, before);
    let mut strange = Corim { tag: "wm-strange", ..next_release() };
    strange.values[1].version = "\u{1b}[2J".into();
    assert!(matches!(city.import(&strange, ACME).await, Err(Error::Malformed(_))), "it would clear the screen");
}

#[tokio::test]
async fn a_dry_run_names_who_would_fail_and_changes_nothing() {
    let city = City::new().await;
    city.import(&Corim::released(), ACME).await.unwrap();
    let (good, mut flash) = (city.meter("meter-1", 1).await, Flash::new([1; 32]));
    // Its last evidence only names the chain that came before.
    city.attest_with(good, &mut flash, &[Carry::Chain, Carry::Reference]).await;
    city.meter("meter-2", 2).await;
    let before = city.known().await;

    let tried = city.try_change(&status("2.4.1", "forbidden", None)).await;
    assert_eq!((tried.looked_at, tried.not_judged, tried.types), (2, 1, vec![METER.to_owned()]));
    let [device] = &tried.devices[..] else { panic!("{:?}", tried.devices) };
    let (present, tier) = (device.present.as_str(), device.tier.as_str());
    assert_eq!((device.name.as_str(), present, tier), ("meter-1", "affirming", "contraindicated"));
    assert!(device.reasons[0].contains("forbidden"), "{:?}", device.reasons);
    assert_eq!(city.try_change(&status("2.3.0", "forbidden", None)).await.devices, []);

    // A tag whose next version no longer vouches for what meters run.
    let tried = city.try_import(&next_release()).await;
    let manifest = tried.manifest.unwrap();
    assert_eq!((manifest.values, tried.devices[0].tier.as_str()), (2, "warning"));
    assert_eq!(tried.devices[0].name, "meter-1");
    assert_eq!(city.try_change(&floor(6)).await.devices.len(), 1);
    assert_eq!(city.try_change(&floor(5)).await.devices.len(), 0);
    let revocation = NewChange::Revocation { tag: "wm-release".into() };
    assert_eq!(city.try_change(&revocation).await.devices[0].tier, "warning");

    assert_eq!(city.known().await, before);
    assert_eq!(city.app.show_attestation(good).await.unwrap().verdicts.len(), 2);
    assert_eq!(city.app.show_device(good).await.unwrap().access, Access::Full.name());
    assert_eq!(city.attest(good, &mut flash).await, "affirming");
}

#[tokio::test]
async fn a_dry_run_is_read_page_by_page() {
    let city = City::new().await;
    city.import(&Corim::released(), ACME).await.unwrap();
    for number in 1..=5 {
        let meter = city.meter(&format!("meter-{number}"), number).await;
        city.attest(meter, &mut Flash::new([number; 32])).await;
    }
    let (mut names, mut paging) = (Vec::new(), Paging { cursor: None, limit: 2 });
    for looked_at in [2, 2, 1] {
        let page = city.app.try_change(city.tenant, &floor(9), &paging).await.unwrap();
        assert_eq!(page.looked_at, looked_at);
        names.extend(page.devices.into_iter().map(|device| device.name));
        paging.cursor = page.next_cursor;
    }
    assert_eq!(paging.cursor, None);
    assert_eq!(names, ["meter-1", "meter-2", "meter-3", "meter-4", "meter-5"]);
}

#[tokio::test]
async fn versions_are_deprecated_forbidden_and_left_behind_and_tags_revoked() {
    let city = City::new().await;
    city.import(&Corim::released(), ACME).await.unwrap();
    let (meter, mut flash) = (city.meter("meter-1", 1).await, Flash::new([1; 32]));
    assert_eq!(city.change(&status("2.4.1", "deprecated", Some("2999-01-01T00:00:00Z"))).await.unwrap(), 1);
    assert_eq!(city.attest(meter, &mut flash).await, "warning");
    let values = city.app.reference_values(city.tenant, METER).await.unwrap();
    assert_eq!(values[1].until.as_deref(), Some("2999-01-01T00:00:00.000Z"));
    city.change(&status("2.4.1", "allowed", None)).await.unwrap();
    assert_eq!(city.attest(meter, &mut flash).await, "affirming");
    for (named, until) in [
        ("deprecated", Some("2001-01-01T00:00:00Z")),
        ("deprecated", Some("soon")),
        ("deprecated", None),
        ("forbidden", Some("2999-01-01T00:00:00Z")),
        ("retired", None),
    ] {
        let refused = city.change(&status("2.4.1", named, until)).await;
        assert!(matches!(refused, Err(Error::Malformed(_))), "{named} {until:?}");
    }
    city.change(&floor(5)).await.unwrap();
    assert!(matches!(city.change(&floor(4)).await, Err(Error::Misuse(Misuse::Conflict(_)))), "it only rises");
    assert_eq!(city.app.security_floor(city.tenant, METER).await.unwrap().security_version, Some(5));
    assert_eq!(city.attest(meter, &mut flash).await, "affirming");
    let revocation = NewChange::Revocation { tag: "wm-release".into() };
    assert_eq!(city.change(&revocation).await.unwrap(), 2);
    assert_eq!(city.known().await[1], ("2.4.1".into(), "withdrawn".into()));
    assert_eq!(city.attest(meter, &mut flash).await, "warning");
    let again = city.import(&next_release(), ACME).await.unwrap_err().to_string();
    assert!(again.contains("was revoked"), "{again}");
    let unknown = city.change(&NewChange::Revocation { tag: "wm-none".into() }).await;
    assert!(matches!(unknown, Err(Error::Misuse(Misuse::Unknown(_)))));
    city.change(&floor(6)).await.unwrap();
    assert_eq!(city.attest(meter, &mut flash).await, "contraindicated");
    let audited = city.audited().await;
    for line in [
        "ada: reference.import acme-wm: 2 values, signed by Acme release key: tag wm-release version 1",
        "ada: reference.status Acme WM-100 firmware 2.4.1: deprecated until 2999-01-01T00:00:00Z",
        "ada: reference.status Acme WM-100 firmware 2.4.1: allowed",
        "ada: reference.floor Acme WM-100: 5",
        "ada: reference.revoke wm-release: 2 values",
        "ada: reference.floor Acme WM-100: 6",
    ] {
        assert!(audited.iter().any(|known| known == line), "{line} is not in {audited:#?}");
    }
    // Two signers at the start, and what was made; what was refused or tried leaves no trace.
    assert_eq!(audited.len(), 8, "{audited:#?}");
}
