//! Metrics in the OpenMetrics text format, named `bartizan_<area>_<noun>_<unit>`.
//!
//! No label grows with the fleet: labels come from fixed enums.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};

use axum::http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::app::App;
use crate::gateway::GatewayCounters;
use crate::mqtt;

/// Every metric of the process.
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    auth_failures: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    /// 2xx, 4xx and so on.
    status: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("bartizan");
        let requests = Family::<RequestLabels, Counter>::default();
        let auth_failures = Counter::default();
        registry.register("api_requests", "Requests answered, by method and class of status", requests.clone());
        registry.register("api_auth_failures", "Wrong operator credentials", auth_failures.clone());
        registry.register(
            "server_start_time_seconds",
            "When the process started, in seconds since 1970",
            ConstGauge::new(start_time_s()),
        );
        Self { registry: Mutex::new(registry), requests, auth_failures }
    }
}

impl Metrics {
    /// Adds what `collector` tells on each scrape; its names get the prefix `bartizan_`.
    pub fn add(&self, collector: Box<dyn Collector>) {
        self.lock().register_collector(collector);
    }

    /// Adds the counters of `app`.
    pub fn add_app(&self, app: &Arc<App>) {
        self.add(Box::new(AppCollector(Arc::downgrade(app))));
    }

    /// Adds the counters of the gateway, as `meter` reads them.
    pub fn add_gateway(&self, meter: impl Fn() -> GatewayCounters + Send + Sync + 'static) {
        self.add(Box::new(GatewayCollector(Box::new(meter))));
    }

    /// Adds the counters of the MQTT door, as `meter` reads them.
    pub fn add_mqtt(&self, meter: impl Fn() -> (usize, mqtt::Counted) + Send + Sync + 'static) {
        self.add(Box::new(MqttCollector(Box::new(meter))));
    }

    /// Notes a request that was answered.
    pub fn request(&self, method: &Method, status: StatusCode) {
        let labels = RequestLabels { method: method_label(method), status: status_label(status) };
        self.requests.get_or_create(&labels).inc();
    }

    /// Notes a wrong credential.
    pub fn auth_failed(&self) {
        self.auth_failures.inc();
    }

    /// All metrics as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.lock()).expect("invariant: a String takes every write");
        text
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().expect("invariant: no panic under this lock")
    }
}

/// Writes one number of a collector. Counters get their `_total` from the format.
///
/// # Errors
/// The writer's.
pub fn write(encoder: &mut DescriptorEncoder, kind: MetricType, name: &str, help: &str, value: u64) -> fmt::Result {
    let metric = encoder.encode_descriptor(name, &format!("{help}."), None::<&Unit>, kind)?;
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(metric),
        _ => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric),
    }
}

struct AppCollector(Weak<App>);

impl fmt::Debug for AppCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppCollector")
    }
}

impl Collector for AppCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let Some(app) = self.0.upgrade() else {
            return Ok(());
        };
        let now = app.counters();
        let rows = [
            (MetricType::Counter, "app_messages", "Messages that an upstream accepted", now.messages),
            (MetricType::Counter, "app_messages_refused", "Messages refused for lack of access", now.refused),
            (MetricType::Counter, "app_findings", "Findings of all engines", now.findings),
            (MetricType::Counter, "upstream_failures", "Messages that an upstream did not accept", now.upstream_failed),
            (
                MetricType::Counter,
                "upstream_ports_exhausted",
                "Devices for which the pool had no address",
                now.ports_exhausted,
            ),
            (MetricType::Counter, "commands_offered", "Commands offered to the gate", now.commands_offered),
            (MetricType::Counter, "commands_shed", "Commands refused because a queue was full", now.commands_shed),
            (
                MetricType::Counter,
                "sources_dropped_datagrams",
                "Datagrams of limited sources dropped unread",
                now.sources_dropped,
            ),
            (
                MetricType::Counter,
                "app_evidence_overdue",
                "Deadlines of evidence, and graces, that devices let pass",
                now.evidence_overdue,
            ),
            (MetricType::Gauge, "app_devices_live", "Devices held in memory", now.devices_live),
            (MetricType::Gauge, "store_writes_pending", "Changes not yet written", now.writes_pending),
        ];
        rows.into_iter().try_for_each(|(kind, name, help, value)| write(&mut encoder, kind, name, help, value))
    }
}

type Meter = Box<dyn Fn() -> GatewayCounters + Send + Sync>;

struct GatewayCollector(Meter);

impl fmt::Debug for GatewayCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayCollector")
    }
}

impl Collector for GatewayCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let now = (self.0)();
        let rows = [
            (MetricType::Counter, "gateway_datagrams_received", "UDP datagrams that arrived", now.datagrams_received),
            (MetricType::Counter, "gateway_datagrams_sent", "UDP datagrams that left", now.datagrams_sent),
            (MetricType::Counter, "gateway_records", "Authentic records with application data", now.records),
            (MetricType::Counter, "gateway_rebindings", "Associations that moved to a new address", now.rebindings),
            (
                MetricType::Counter,
                "gateway_forgeries",
                "Associations closed because too many records did not open",
                now.forgeries,
            ),
            (
                MetricType::Counter,
                "gateway_journal_groups",
                "Groups that the session journal made durable",
                now.journal_groups,
            ),
            (MetricType::Gauge, "gateway_sessions", "Associations with devices", now.sessions),
            (MetricType::Gauge, "gateway_messages_in_flight", "Messages under way to upstreams", now.in_flight),
        ];
        rows.into_iter().try_for_each(|(kind, name, help, value)| write(&mut encoder, kind, name, help, value))?;
        let handshakes = ["1.2", "1.3"].into_iter().zip(now.handshakes_by_version);
        let help = "Handshakes that finished, by version of DTLS";
        write_family(&mut encoder, "gateway_handshakes", help, "version", handshakes)?;
        let checks = ["validated", "refused", "unanswered"].into_iter().zip(now.path_checks);
        let help = "Checks of devices' new addresses, by outcome; refused is an attack that was found out";
        write_family(&mut encoder, "gateway_path_checks", help, "outcome", checks)?;
        let dropped = now.dropped.iter().map(|(reason, count)| (reason.name(), *count));
        write_family(&mut encoder, "gateway_dropped", "What was dropped or refused, by reason", "reason", dropped)
    }
}

type MqttMeter = Box<dyn Fn() -> (usize, mqtt::Counted) + Send + Sync>;

struct MqttCollector(MqttMeter);

impl fmt::Debug for MqttCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MqttCollector")
    }
}

impl Collector for MqttCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (open, now) = (self.0)();
        let rows = [
            (MetricType::Gauge, "mqtt_connections", "Connections of devices that speak MQTT", open as u64),
            (MetricType::Counter, "mqtt_connections_opened", "Connections that were let in", now.opened),
            (MetricType::Counter, "mqtt_messages", "Messages over MQTT that an upstream accepted", now.messages),
        ];
        rows.into_iter().try_for_each(|(kind, name, help, value)| write(&mut encoder, kind, name, help, value))?;
        let ended = now.ended.iter().map(|(why, count)| (why.name(), *count));
        write_family(&mut encoder, "mqtt_connections_ended", "Connections that ended, by reason", "reason", ended)
    }
}

/// One counter for each value of a label.
fn write_family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    rows: impl IntoIterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, &format!("{help}."), None::<&Unit>, MetricType::Counter)?;
    rows.into_iter().try_for_each(|(value, count)| {
        let labels = [(label, value)];
        let metric = family.encode_family(&labels)?;
        ConstCounter::new(count).encode(metric)
    })
}

fn start_time_s() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0.0, |since| since.as_secs_f64())
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Dropped;

    #[test]
    fn what_the_gateway_sheds_is_counted_by_reason() {
        let metrics = Metrics::default();
        metrics.add_gateway(|| GatewayCounters {
            sessions: 3,
            handshakes_by_version: [5, 6],
            path_checks: [1, 2, 3],
            forgeries: 4,
            dropped: Dropped::ALL.iter().map(|reason| (*reason, 7)).collect(),
            ..GatewayCounters::default()
        });
        let text = metrics.text();
        assert!(text.contains("bartizan_gateway_sessions 3\n"), "{text}");
        for line in [
            "bartizan_gateway_handshakes_total{version=\"1.2\"} 5\n",
            "bartizan_gateway_handshakes_total{version=\"1.3\"} 6\n",
            "bartizan_gateway_path_checks_total{outcome=\"refused\"} 2\n",
            "bartizan_gateway_forgeries_total 4\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        for reason in Dropped::ALL {
            let line = format!("bartizan_gateway_dropped_total{{reason=\"{}\"}} 7\n", reason.name());
            assert!(text.contains(&line), "{line} in\n{text}");
        }
    }

    #[test]
    fn requests_are_counted_by_fixed_labels() {
        let metrics = Metrics::default();
        metrics.request(&Method::GET, StatusCode::OK);
        metrics.request(&Method::GET, StatusCode::CREATED);
        let strange = Method::from_bytes(b"X-ANYTHING").unwrap();
        metrics.request(&strange, StatusCode::METHOD_NOT_ALLOWED);
        metrics.auth_failed();
        let text = metrics.text();
        for line in [
            "bartizan_api_requests_total{method=\"GET\",status=\"2xx\"} 2",
            "bartizan_api_requests_total{method=\"other\",status=\"4xx\"} 1",
            "bartizan_api_auth_failures_total 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
    }
}
