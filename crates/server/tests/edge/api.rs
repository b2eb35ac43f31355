//! Every endpoint, and every way in which it refuses.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use bartizan_server::api::auth::ClientAddress;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{TOKEN, World, bare, operator};

#[tokio::test]
async fn nothing_answers_without_a_credential() {
    let world = World::with_device().await;
    let description: Value = serde_json::from_slice(&world.get("/openapi.json").await.body).unwrap();
    let mut asked = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let path = path.replace("{tenant}", "water").replace("{device}", "m1").replace("{command}", "1");
            if ["/api/v1/sessions", "/api/v1/attestation-keys"].contains(&path.as_str()) {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            for header in [None, Some("Bearer wrong"), Some("Basic eA==")] {
                let mut request = bare(method.clone(), &path);
                if let Some(header) = header {
                    request = request.header("authorization", header);
                }
                let answer = world.send(request.body(Body::empty()).unwrap()).await;
                let refused = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
                assert!(refused.contains(&answer.status), "{method} {path}: {answer:?}");
                answer.problem();
                asked += 1;
            }
        }
    }
    assert!(asked > 60, "{asked}");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let world = World::new().await;
    for path in ["/healthz", "/", "/tenants", "/api/v1/none"] {
        let answer = world.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self';"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
    }
    assert_eq!(world.get("/tenants").await.header("cache-control"), "no-store");
}

#[tokio::test]
async fn wrong_tokens_are_limited_per_address_but_the_right_one_always_works() {
    let world = World::configured("[api]\nauth_failures_per_minute = 2").await;
    let from = |token: &str, address: &str| {
        let mut request = bare(Method::GET, "/tenants")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let address = ClientAddress(address.parse().unwrap());
        request.extensions_mut().insert(address);
        request
    };
    for _ in 0..2 {
        let answer = world.send(from("wrong", "192.0.2.1:1")).await;
        assert_eq!(answer.problem(), "unauthenticated");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    let answer = world.send(from("wrong", "192.0.2.1:2")).await;
    assert_eq!(answer.problem(), "too-many-failures");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(world.send(from("wrong", "192.0.2.2:1")).await.status, 401);
    assert_eq!(world.send(from(TOKEN, "192.0.2.1:3")).await.status, 200);
}

async fn sign_in(world: &World) -> String {
    let request = bare(Method::POST, "/sessions")
        .header("content-type", "application/json")
        .header("origin", "https://localhost:8443")
        .body(Body::from(json!({ "token": TOKEN }).to_string()))
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status, 204);
    let cookie = answer.header("set-cookie").to_owned();
    for attribute in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_reads_everywhere_and_writes_only_from_our_own_pages() {
    let world = World::new().await;
    let cookie = sign_in(&world).await;
    let read = bare(Method::GET, "/sessions/current").header("cookie", &cookie);
    let answer = world.send(read.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.json(), json!({ "operator": "ada" }));
    let tenant = json!({ "name": "t", "upstream": "log:/tmp/never-written.ndjson" }).to_string();
    let table = [
        (None, 403),
        (Some("https://evil.example"), 403),
        (Some("http://localhost:8443"), 403),
        (Some("null"), 403),
        (Some("https://localhost:8443"), 201),
    ];
    for (origin, status) in table {
        let mut request =
            bare(Method::POST, "/tenants").header("cookie", &cookie).header("content-type", "application/json");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = world.send(request.body(Body::from(tenant.clone())).unwrap()).await;
        assert_eq!(answer.status, status, "{origin:?}");
        if status == 403 {
            assert_eq!(answer.problem(), "cross-origin");
        }
    }
    let out =
        bare(Method::DELETE, "/sessions/current").header("cookie", &cookie).header("origin", "https://localhost:8443");
    assert_eq!(world.send(out.body(Body::empty()).unwrap()).await.status, 204);
    let again = bare(Method::GET, "/sessions/current").header("cookie", &cookie);
    let answer = world.send(again.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.problem(), "unauthenticated");
}

#[tokio::test]
async fn nobody_signs_in_with_a_wrong_token_or_from_another_site() {
    let world = World::new().await;
    let table = [
        (json!({ "token": "wrong" }), "https://localhost:8443", "unauthenticated"),
        (json!({ "token": TOKEN }), "https://evil.example", "cross-origin"),
        (json!({ "tokken": TOKEN }), "https://localhost:8443", "malformed"),
    ];
    for (body, origin, problem) in table {
        let request = bare(Method::POST, "/sessions")
            .header("content-type", "application/json")
            .header("origin", origin)
            .body(Body::from(body.to_string()))
            .unwrap();
        assert_eq!(world.send(request).await.problem(), problem);
    }
}

#[tokio::test]
async fn tenants_are_made_changed_and_never_changed_twice_by_accident() {
    let world = World::new().await;
    let new = json!({ "name": "water", "upstream": "log:/tmp/a.ndjson" });
    let made = world.post("/tenants", &new).await;
    assert_eq!(made.status, 201);
    let tag = made.header("etag").to_owned();
    assert_eq!(world.post("/tenants", &new).await.problem(), "exists");
    let shown = world.get("/tenants/water").await;
    assert_eq!((shown.header("etag"), shown.json()["devices"].as_u64()), (&*tag, Some(0)));
    let known = world.ask(Method::GET, "/tenants/water", &[("if-none-match", &tag)], None).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    let change = json!({ "upstream": "log:/tmp/b.ndjson" });
    let patch = |tag: String| {
        let (world, change) = (&world, &change);
        async move { world.ask(Method::PATCH, "/tenants/water", &[("if-match", &tag)], Some(change)).await }
    };
    let changed = patch(tag.clone()).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_ne!(changed.header("etag"), tag);
    assert_eq!(patch(tag).await.problem(), "stale");
    assert_eq!(patch("seven".into()).await.problem(), "malformed");
    let bad = json!({ "upstream": "carrier-pigeon:coop" });
    let refused = world.ask(Method::PATCH, "/tenants/water", &[], Some(&bad)).await;
    assert_eq!(refused.problem(), "malformed");
    assert_eq!(world.get("/tenants/none").await.problem(), "unknown");
    let all = world.get("/tenants").await.json();
    assert_eq!(all["items"][0]["name"], "water");
    assert_eq!(all["next_cursor"], Value::Null);
}

#[tokio::test]
async fn lists_are_pages() {
    let world = World::with_device().await;
    for n in 2..=5 {
        let device = json!({ "name": format!("m{n}"), "type": "meter" });
        assert_eq!(world.post("/tenants/water/devices", &device).await.status, 201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    for page in 0..3 {
        let from = if page == 0 { String::new() } else { format!("&cursor={cursor}") };
        let answer = world.get(&format!("/tenants/water/devices?limit=2{from}")).await.json();
        for item in answer["items"].as_array().unwrap() {
            names.push(item["name"].as_str().unwrap().to_owned());
            assert!(item.get("holds").is_none(), "lists leave the holds out");
        }
        cursor = answer["next_cursor"].as_str().unwrap_or_default().to_owned();
        assert_eq!(cursor.is_empty(), page == 2, "page {page}");
    }
    names.sort();
    assert_eq!(names, ["m1", "m2", "m3", "m4", "m5"]);
    for bad in ["limit=0", "limit=201", "limit=x", "cursor=%21", "colour=red", "grade=evil"] {
        let answer = world.get(&format!("/tenants/water/devices?{bad}")).await;
        assert_eq!(answer.problem(), "malformed", "{bad}");
    }
    let filtered = world.get("/tenants/water/devices?q=m3&type=meter&grade=normal").await.json();
    assert_eq!(filtered["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn types_are_added_and_listed() {
    let world = World::with_device().await;
    let listed = world.get("/tenants/water/types").await.json();
    assert_eq!(listed["items"], json!([{ "name": "meter", "devices": 1 }]));
    let again = world.post("/tenants/water/types", &json!({ "name": "meter" })).await;
    assert_eq!(again.json()["name"], "meter", "a type is the same type however often it is added");
    let nameless = world.post("/tenants/water/types", &json!({ "name": "" })).await;
    assert_eq!(nameless.problem(), "malformed");
}

#[tokio::test]
async fn a_device_is_made_with_a_key_that_is_shown_once() {
    let world = World::with_device().await;
    let new = json!({
        "name": "m2", "type": "meter", "identity": "id-2", "endpoint": "urn:2",
        "psk": "000102030405060708090a0b0c0d0e0f",
    });
    let made = world.post("/tenants/water/devices", &new).await.json();
    assert_eq!(made["psk"], "000102030405060708090a0b0c0d0e0f");
    assert_eq!((&made["identity"], &made["endpoint"]), (&json!("id-2"), &json!("urn:2")));
    let shown = world.get("/tenants/water/devices/m2").await;
    assert!(shown.json().get("psk").is_none());
    assert_eq!(shown.json()["lifecycle"], "pending");
    assert_eq!(shown.json()["holds"], json!([]));
    for (field, value) in [("psk", "0x12"), ("psk", "0011"), ("type", ""), ("name", "")] {
        let mut bad = json!({ "name": "m3", "type": "meter" });
        bad[field] = json!(value);
        let answer = world.post("/tenants/water/devices", &bad).await;
        assert!(answer.status.is_client_error(), "{field} {value}: {answer:?}");
        answer.problem();
    }
    let taken = json!({ "name": "m3", "type": "meter", "identity": "id-2" });
    assert_eq!(world.post("/tenants/water/devices", &taken).await.problem(), "exists");
}

#[tokio::test]
async fn a_person_isolates_releases_and_retires_with_a_reason() {
    let world = World::with_device().await;
    let device = "/tenants/water/devices/m1";
    let isolations = format!("{device}/isolations");
    for bad in [json!({}), json!({ "reason": "  " }), json!({ "reason": "x", "blok": true })] {
        assert_eq!(world.post(&isolations, &bad).await.problem(), "malformed");
    }
    let isolated = world.post(&isolations, &json!({ "reason": "it floods" })).await.json();
    assert_eq!(isolated["access"], "quarantined");
    let hold = &isolated["holds"][0];
    assert_eq!((&hold["cause"], &hold["exit"], &hold["by"]), (&json!("person"), &json!("person"), &json!("ada")));
    assert!(isolated["explanation"].as_str().unwrap().contains("it floods"), "{isolated}");
    let released = world.post(&format!("{device}/releases"), &json!({ "reason": "repaired" })).await.json();
    assert_eq!(released["holds"], json!([]));
    let blocked = world.post(&isolations, &json!({ "reason": "stolen", "block": true })).await.json();
    assert_eq!(blocked["access"], "blocked");
    let retired = world.post(&format!("{device}/retirements"), &json!({ "reason": "scrapped" })).await.json();
    assert_eq!(retired["lifecycle"], "retired");
    let late = world.post(&format!("{device}/releases"), &json!({ "reason": "x" })).await;
    assert_eq!(late.problem(), "conflict");
    let timeline = world.get(&format!("{device}/timeline")).await.json();
    let kinds: Vec<&str> =
        timeline["items"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"hold") && kinds.contains(&"release"), "{kinds:?}");
}

#[tokio::test]
async fn a_decision_on_an_old_view_of_a_device_is_refused() {
    let world = World::with_device().await;
    let device = "/tenants/water/devices/m1";
    let tag = world.get(device).await.header("etag").to_owned();
    let isolate = || {
        let (world, tag) = (&world, tag.clone());
        async move {
            let body = json!({ "reason": "x" });
            let path = format!("{device}/isolations");
            world.ask(Method::POST, &path, &[("if-match", &tag)], Some(&body)).await
        }
    };
    assert_eq!(isolate().await.status, 200);
    assert_eq!(isolate().await.problem(), "stale");
}

#[tokio::test]
async fn a_key_is_replaced() {
    let world = World::with_device().await;
    let keys = |world: &World| {
        let request = operator(Method::POST, "/tenants/water/devices/m1/keys");
        let router = world.router.clone();
        async move {
            let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice::<Value>(&bytes).unwrap()["psk"].as_str().unwrap().to_owned()
        }
    };
    let (first, second) = (keys(&world).await, keys(&world).await);
    assert!(first.len() >= 32 && first != second);
}

#[tokio::test]
async fn a_repeated_post_with_the_same_key_is_done_once() {
    let world = World::with_device().await;
    let devices = "/tenants/water/devices";
    let new = json!({ "name": "m2", "type": "meter" });
    let key = [("idempotency-key", "k-1")];
    let first = world.ask(Method::POST, devices, &key, Some(&new)).await;
    let second = world.ask(Method::POST, devices, &key, Some(&new)).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.body, second.body, "also the key, which is shown only in this answer");
    assert_eq!(second.header("idempotent-replayed"), "true");
    let other = json!({ "name": "m3", "type": "meter" });
    let answer = world.ask(Method::POST, devices, &key, Some(&other)).await;
    assert_eq!(answer.problem(), "conflict");
    let without = world.ask(Method::POST, devices, &[], Some(&new)).await;
    assert_eq!(without.problem(), "exists");
    let long = "k".repeat(129);
    for bad in ["", "a b", &long] {
        let headers = [("idempotency-key", bad)];
        let answer = world.ask(Method::POST, devices, &headers, Some(&other)).await;
        assert_eq!(answer.problem(), "malformed", "{bad:?}");
    }
}

async fn import(world: &World, csv: String) -> crate::world::Answer {
    let request = operator(Method::POST, "/tenants/water/imports").header("content-type", "text/csv");
    world.send(request.body(Body::from(csv)).unwrap()).await
}

#[tokio::test]
async fn an_import_is_all_or_nothing_and_names_the_wrong_lines() {
    let world = World::with_device().await;
    let head = "name,type,identity,psk\n";
    let line = |n: u32| format!("c{n},meter,id-c{n},{:032x}\n", n + 1);
    let bad = format!("{head}{}c2,meter,id-c2,abcd\n{}", line(1), line(3));
    let answer = import(&world, bad).await;
    assert_eq!(answer.problem(), "bad-lines");
    assert_eq!((answer.json()["total"].as_u64(), answer.json()["lines"][0]["line"].as_u64()), (Some(1), Some(3)));
    let count = world.get("/tenants/water").await.json()["devices"].clone();
    assert_eq!(count, 1, "nothing was imported");
    let good: String = (1..=500).map(line).collect();
    let answer = import(&world, format!("{head}{good}")).await;
    assert_eq!(answer.json(), json!({ "imported": 500 }));
    assert_eq!(world.get("/tenants/water").await.json()["devices"], 501);
    let json = world.post("/tenants/water/imports", &json!({})).await;
    assert_eq!(json.problem(), "media-type");
}

#[tokio::test]
async fn an_import_may_be_larger_than_other_bodies_but_not_than_its_own_bound() {
    let world = World::with_device().await;
    let wide = "x".repeat(300 * 1024);
    let body = json!({ "name": wide, "upstream": "log:/x" });
    assert_eq!(world.post("/tenants", &body).await.problem(), "too-large");
    let mut csv = String::from("name,type,identity,psk\n");
    for n in 1..=8000 {
        csv.push_str(&format!("w{n},meter,identity-of-w{n},{n:064x}\n"));
    }
    assert!(csv.len() > 256 * 1024);
    assert_eq!(import(&world, csv).await.json(), json!({ "imported": 8000 }));
}

#[tokio::test]
async fn commands_wait_and_are_listed() {
    let world = World::with_device().await;
    let commands = "/tenants/water/devices/m1/commands";
    let sent =
        world.post(commands, &json!({ "method": "POST", "path": "/3/0/4", "payload": "1", "expires_in_s": 60 })).await;
    assert_eq!(sent.status, 201, "{sent:?}");
    assert_eq!((&sent.json()["state"], &sent.json()["issuer"]), (&json!("queued"), &json!("ada")));
    let listed = world.get(commands).await.json();
    assert_eq!(listed["items"][0]["id"], sent.json()["id"]);
    let device = world.get("/tenants/water/devices/m1").await.json();
    assert_eq!(device["last_seen"], Value::Null, "a command that waits is no sign of life");
    for bad in [
        json!({ "method": "BREW", "path": "/" }),
        json!({ "method": "GET", "path": "/", "payload": "a", "payload_hex": "00" }),
        json!({ "method": "GET", "path": "/", "payload_hex": "0" }),
        json!({ "method": "GET" }),
    ] {
        assert_eq!(world.post(commands, &bad).await.problem(), "malformed", "{bad}");
    }
    let decision = format!("{commands}/{}/decision", sent.json()["id"]);
    let answer = world.post(&decision, &json!({ "allow": true, "reason": "x" })).await;
    assert_eq!(answer.problem(), "conflict", "it is not held");
    let none = world.post(&format!("{commands}/999/decision"), &json!({ "allow": true, "reason": "x" })).await;
    assert_eq!(none.problem(), "unknown");
}

#[tokio::test]
async fn what_happened_can_be_read() {
    let world = World::with_device().await;
    for path in [
        "/tenants/water/findings",
        "/tenants/water/sources",
        "/tenants/water/devices/m1/timeline",
        "/tenants/water/devices/m1/commands",
    ] {
        assert!(world.get(path).await.json()["items"].is_array(), "{path}");
    }
    assert!(world.get("/tenants/water/devices/m1/profile").await.json()["features"].is_array());
    let summary = world.get("/tenants/water/summary").await.json();
    assert_eq!((&summary["devices"], &summary["brake"]["engaged"]), (&json!(1), &json!(false)));
    for path in ["/tenants/none/summary", "/tenants/water/devices/none", "/tenants/none/devices/m1"] {
        assert_eq!(world.get(path).await.problem(), "unknown", "{path}");
    }
}

#[tokio::test]
async fn bad_requests_are_explained() {
    let world = World::new().await;
    let request = operator(Method::POST, "/tenants")
        .header("content-type", "application/json")
        .body(Body::from("{\"name\":"))
        .unwrap();
    assert_eq!(world.send(request).await.problem(), "malformed");
    let request = operator(Method::POST, "/tenants").body(Body::from("name=x")).unwrap();
    assert_eq!(world.send(request).await.problem(), "media-type");
    let extra = json!({ "name": "x", "upstream": "log:/x", "color": 1 });
    let answer = world.post("/tenants", &extra).await;
    assert!(answer.json()["detail"].as_str().unwrap().contains("color"), "{answer:?}");
    assert_eq!(world.ask(Method::DELETE, "/tenants", &[], None).await.problem(), "method-not-allowed");
    assert_eq!(world.get("/api/v1/nothing").await.problem(), "unknown");
    assert_eq!(world.get("/api/v2/tenants").await.problem(), "unknown");
}

#[tokio::test]
async fn machines_learn_health_readiness_and_metrics() {
    let world = World::with_device().await;
    let plain = |path| bare(Method::GET, path).body(Body::empty()).unwrap();
    assert_eq!(world.send(plain("/healthz")).await.json()["alive"], true);
    let unready = world.send(plain("/readyz")).await;
    assert_eq!(unready.status, 503);
    assert!(unready.json()["reasons"][0].as_str().unwrap().contains("gateway"));
    world.api.health.ask_gateway(Box::new(|| None));
    let ready = world.send(plain("/readyz")).await;
    assert_eq!((ready.status, &ready.json()["reasons"]), (StatusCode::OK, &json!([])));
    let metrics = world.send(plain("/metrics")).await;
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("bartizan_app_messages_total 0"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    let mut far = plain("/metrics");
    far.extensions_mut().insert(ClientAddress("192.0.2.1:1".parse().unwrap()));
    assert_eq!(world.send(far).await.problem(), "unauthenticated");
}

#[tokio::test]
async fn the_stream_tells_what_changes_and_ends_with_the_server() {
    let world = World::with_device().await;
    let request = operator(Method::GET, "/tenants/water/events").body(Body::empty()).unwrap();
    let response = world.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let answer = world.post("/tenants/water/devices/m1/isolations", &json!({ "reason": "x" })).await;
    assert_eq!(answer.status, 200);
    let mut text = String::new();
    while !(text.contains("event: summary") && text.contains("event: device")) {
        let frame = tokio::time::timeout(Duration::from_secs(10), body.frame()).await;
        let frame = frame.expect("an event within ten seconds").unwrap().unwrap();
        text.push_str(&String::from_utf8_lossy(&frame.into_data().unwrap()));
    }
    assert!(text.contains("\"access\":\"quarantined\""), "{text}");
    world.api.health.drain();
    let rest = tokio::time::timeout(Duration::from_secs(10), body.collect()).await;
    assert!(rest.is_ok(), "a stream ends when the server stops");
}

#[tokio::test]
async fn event_streams_are_bounded() {
    let world = World::configured("[api]\nevent_streams_max = 1").await;
    let tenant = json!({ "name": "t", "upstream": "log:/tmp/never-written.ndjson" });
    world.post("/tenants", &tenant).await;
    let open = || {
        let request = operator(Method::GET, "/tenants/t/events").body(Body::empty()).unwrap();
        world.router.clone().oneshot(request)
    };
    let first = open().await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(open().await.unwrap().status(), 429);
    drop(first);
    let freed = async {
        while open().await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed).await.expect("the slot is free again");
}

#[tokio::test]
async fn a_backup_is_made_in_a_folder_of_its_own() {
    let world = World::with_device().await;
    let made = world.ask(Method::POST, "/backups", &[], None).await;
    assert_eq!(made.status, 201, "{made:?}");
    let folder = made.json()["folder"].as_str().unwrap().to_owned();
    let folder = std::path::Path::new(&folder);
    assert!(folder.starts_with(world.folder.path().join("backups")));
    assert!(folder.join("manifest.json").exists());
    assert!(folder.join("data/operator.db").exists());
    assert!(!folder.join("master.key").exists());
}

#[tokio::test]
async fn the_console_or_a_word_about_it_is_served() {
    let world = World::new().await;
    let plain = |path| bare(Method::GET, path).body(Body::empty()).unwrap();
    let page = world.send(plain("/")).await;
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    let missing = axum::http::Request::get("/assets/none-123.js").body(Body::empty()).unwrap();
    assert_eq!(world.send(missing).await.status, 404);
    let post = axum::http::Request::post("/").body(Body::empty()).unwrap();
    assert_eq!(world.send(post).await.problem(), "method-not-allowed");
}
