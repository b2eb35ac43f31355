//! Signed reference values over HTTP and as they are typed.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use crate::cli::Bench;
use crate::corim::{Corim, pem};
use crate::world::{Answer, World, operator};

async fn send(world: &World, path: &str, kind: &str, body: Vec<u8>) -> Answer {
    let request = operator(Method::POST, path).header("content-type", kind);
    world.send(request.body(Body::from(body)).unwrap()).await
}

async fn import(world: &World, body: Vec<u8>) -> Answer {
    send(world, "/tenants/water/reference-manifests", "application/rim+cose", body).await
}

#[tokio::test]
async fn a_manifest_is_posted_and_refused_in_words() {
    let world = World::with_device().await;
    let policy = json!({ "vendor": "Acme", "model": "WM-100", "layers": ["bootloader", "firmware"] });
    let path = "/tenants/water/types/meter/attestation-policy";
    assert_eq!(world.ask(Method::PUT, path, &[], Some(&policy)).await.status, 200);
    let manifest = Corim::released().signed(1);
    let unknown = import(&world, manifest.clone()).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem().as_str()), (422, "untrusted"));
    let signer = json!({ "name": "Acme/release key", "key": pem(1) });
    let added = world.post("/tenants/water/endorsers", &signer).await;
    assert_eq!((added.status.as_u16(), added.json()[0]["name"].as_str()), (201, Some("Acme/release key")));
    assert_eq!(world.post("/tenants/water/endorsers", &signer).await.problem(), "exists");

    let trial =
        send(&world, "/tenants/water/reference-manifest-trials?limit=1", "application/rim+cose", manifest.clone());
    let trial = trial.await.json();
    assert_eq!((&trial["manifest"]["values"], &trial["looked_at"]), (&json!(2), &json!(0)));
    let values = "/tenants/water/types/meter/reference-values";
    assert_eq!(world.get(values).await.json(), json!([]));
    let imported = import(&world, manifest.clone()).await;
    assert_eq!((imported.status.as_u16(), &imported.json()["types"]), (200, &json!(["meter"])));
    assert_eq!(world.get(values).await.json().as_array().map(Vec::len), Some(2));

    let path = "/tenants/water/reference-manifests";
    assert_eq!(send(&world, path, "text/csv", manifest).await.problem(), "media-type");
    assert_eq!(import(&world, vec![0xFF]).await.problem(), "malformed");
    assert_eq!(import(&world, vec![0; (1 << 20) + 1]).await.problem(), "too-large");
    let mut long = Corim::released();
    long.values[0].version = "9".repeat(200);
    assert_eq!(import(&world, long.signed(1)).await.problem(), "untrusted");

    let change = async |change: Value| world.post("/tenants/water/reference-changes", &change).await;
    let forbidden = json!({
        "change": "status", "type": "meter", "component": "firmware", "version": "2.4.1", "status": "forbidden",
    });
    assert_eq!(change(forbidden.clone()).await.json(), json!({ "types": ["meter"], "values": 1 }));
    assert_eq!(world.get(values).await.json()[1]["status"], "forbidden");
    let trial = world.post("/tenants/water/reference-change-trials", &forbidden).await;
    assert_eq!(trial.json()["types"], json!(["meter"]));
    assert_eq!(change(json!({ "change": "floor", "type": "none", "security_version": 3 })).await.problem(), "unknown");
    assert_eq!(change(json!({ "change": "sideways" })).await.problem(), "malformed");
    let floor = json!({ "change": "floor", "type": "meter", "security_version": 3 });
    assert_eq!(change(floor).await.status, 200);
    let shown = world.get("/tenants/water/types/meter/security-floor").await.json();
    assert_eq!(shown, json!({ "security_version": 3 }));
    let gone = world.ask(Method::DELETE, "/tenants/water/endorsers/Acme%2Frelease%20key", &[], None).await;
    assert_eq!((gone.status.as_u16(), gone.json()), (200, json!([])));
}

#[test]
fn signed_values_are_typed_in() {
    let bench = Bench::with_installation();
    bench.populate();
    let layers = ["--layers", "bootloader,firmware", "--vendor", "Acme", "--model", "WM-100"];
    bench.good(&[&["attest", "policy", "meter"][..], &layers].concat());
    std::fs::write(bench.folder.path().join("acme.pem"), pem(1)).unwrap();
    std::fs::write(bench.folder.path().join("wm.corim"), Corim::released().signed(1)).unwrap();
    assert!(bench.good(&["reference", "signer", "list"]).contains("nobody"));
    assert!(bench.bad(1, &["reference", "import", "wm.corim"]).contains("no configured signer signed"));
    assert!(bench.good(&["reference", "signer", "add", "Acme release key", "acme.pem"]).contains("P-256"));
    let tried = bench.good(&["reference", "import", "wm.corim", "--dry-run"]);
    assert!(tried.contains("would import 2 reference values of acme-wm, signed by Acme release key"), "{tried}");
    assert!(tried.ends_with("nothing was changed\n"), "{tried}");
    assert!(bench.good(&["reference", "list", "meter"]).contains("no reference values"));
    assert!(bench.good(&["reference", "import", "wm.corim"]).contains("tag wm-release version 1"));
    let firmware = ["meter", "firmware", "2.4.1"];
    let until = [&["reference", "deprecate"], &firmware[..], &["--until", "2999-03-01"]].concat();
    assert!(bench.good(&until).contains("deprecated until 2999-03-01 00:00:00 UTC"));
    bench.bad(2, &[&["reference", "deprecate"], &firmware[..]].concat());
    let tried = bench.json(&[&["reference", "forbid"], &firmware[..], &["--dry-run"]].concat());
    assert_eq!((&tried["looked_at"], &tried["types"][0]), (&0.into(), &"meter".into()));
    assert!(bench.good(&[&["reference", "forbid"], &firmware[..]].concat()).contains("forbidden"));
    assert!(bench.good(&[&["reference", "allow"], &firmware[..]].concat()).contains("allowed"));
    assert!(bench.good(&["reference", "floor", "meter"]).contains("no least"));
    assert!(bench.good(&["reference", "floor", "meter", "5"]).contains("5 or later"));
    assert!(bench.bad(1, &["reference", "floor", "meter", "4"]).contains("only rises"));
    bench.bad(2, &["reference", "floor", "meter", "6", "--limit", "3"]);
    assert!(bench.good(&["reference", "revoke", "wm-release"]).contains("took back 2 reference values"));
    assert!(bench.good(&["reference", "signer", "remove", "Acme release key"]).contains("nobody"));
}
