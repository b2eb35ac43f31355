//! From a device and a path to a topic name, so that no device can speak on another's topic.

use std::fmt::Write;

use super::super::UpstreamDevice;
use crate::app::path::UpstreamError;
use crate::limits;

/// A parsed topic template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Topic(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Tenant,
    Type,
    Device,
    Path,
}

impl Topic {
    /// Reads a template with `{tenant}`, `{type}`, `{device}` and `{path}` in it.
    pub(in crate::upstream) fn parse(template: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            let (literal, tail) = rest.split_at(open);
            let close = tail.find('}').ok_or_else(|| format!("topic {template:?} opens a {{ and never closes it"))?;
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(Part::named(&tail[1..close])?);
            rest = &tail[close + 1..];
        }
        parts.push(Part::Literal(rest.to_owned()));
        parts.retain(|part| *part != Part::Literal(String::new()));
        check(template, &parts)?;
        Ok(Self(parts))
    }

    /// Where it is told whether the device's reports are to be trusted. No device publishes here: a `$` in its name or
    /// path is escaped.
    pub(super) fn of_trust(&self, tenant: &str, device: &UpstreamDevice) -> Result<String, UpstreamError> {
        let mut topic = self.of(tenant, device, "").unwrap_or_else(|_| "bartizan".into());
        topic.truncate(topic.trim_end_matches('/').len());
        topic.push_str("/$trust");
        match topic.len() > limits::MQTT_TOPIC_BYTES_MAX {
            true => Err(UpstreamError::Unavailable("the topic for what is to be trusted is too long".into())),
            false => Ok(topic),
        }
    }

    /// The topic of a message. `path` loses its query.
    pub(super) fn of(&self, tenant: &str, device: &UpstreamDevice, path: &str) -> Result<String, UpstreamError> {
        let mut topic = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => topic.push_str(literal),
                Part::Tenant => push_level(&mut topic, tenant),
                Part::Type => push_level(&mut topic, &device.type_name),
                Part::Device => push_level(&mut topic, &device.name),
                Part::Path => push_path(&mut topic, path),
            }
        }
        if topic.is_empty() || topic.len() > limits::MQTT_TOPIC_BYTES_MAX {
            return Err(UpstreamError::Unavailable(format!(
                "a topic is from 1 to {} bytes long",
                limits::MQTT_TOPIC_BYTES_MAX
            )));
        }
        Ok(topic)
    }
}

impl Part {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            "tenant" => Ok(Self::Tenant),
            "type" => Ok(Self::Type),
            "device" => Ok(Self::Device),
            "path" => Ok(Self::Path),
            _ => Err(format!("topic has {{{name}}}, which is none of {{tenant}}, {{type}}, {{device}}, {{path}}")),
        }
    }
}

fn check(template: &str, parts: &[Part]) -> Result<(), String> {
    let literals = || {
        parts.iter().filter_map(|part| match part {
            Part::Literal(literal) => Some(literal),
            _ => None,
        })
    };
    if literals().any(|literal| literal.contains(['+', '#']) || literal.contains(char::is_control)) {
        return Err(format!(
            "topic {template:?} holds +, # or a control character, which no message can be published to"
        ));
    }
    if template.starts_with('$') {
        return Err("topics that begin with $ belong to the broker".into());
    }
    if parts.is_empty() || template.len() > limits::MQTT_TOPIC_BYTES_MAX / 2 {
        return Err(format!("topic is from 1 to {} bytes long", limits::MQTT_TOPIC_BYTES_MAX / 2));
    }
    Ok(())
}

/// One level: a name cannot open another level, nor end in a wildcard. Escaping, unlike replacing, keeps
/// different names different.
fn push_level(topic: &mut String, name: &str) {
    push_escaped(topic, name, &['/', '+', '#', '%', '$']);
}

fn push_path(topic: &mut String, path: &str) {
    let path = path.split('?').next().unwrap_or("");
    if !path.is_empty() && !path.starts_with('/') && !topic.is_empty() {
        topic.push('/');
    }
    let path = if topic.is_empty() { path.trim_start_matches('/') } else { path };
    push_escaped(topic, path, &['+', '#', '$']);
}

fn push_escaped(topic: &mut String, text: &str, special: &[char]) {
    for c in text.chars() {
        if special.contains(&c) || c.is_control() {
            write!(topic, "%{:02X}", u32::from(c)).expect("invariant: writing to a String succeeds");
        } else {
            topic.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_wire::DeviceKey;

    fn topic(template: &str, device: &str, path: &str) -> String {
        let device = UpstreamDevice {
            key: DeviceKey::new(1, 2),
            name: device.into(),
            type_name: "lamp".into(),
            endpoint_names: vec![],
        };
        Topic::parse(template).unwrap().of("city", &device, path).unwrap()
    }

    #[test]
    fn the_template_is_filled() {
        let default = crate::upstream::config::TOPIC_DEFAULT;
        assert_eq!(topic(default, "lamp-1", "/state?x=1"), "bartizan/city/lamp/lamp-1/state");
        assert_eq!(topic(default, "lamp-1", ""), "bartizan/city/lamp/lamp-1");
        assert_eq!(topic("{path}", "lamp-1", "/state"), "state");
    }

    #[test]
    fn no_name_reaches_another_topic() {
        assert_eq!(topic("a/{device}", "x/y", "/"), "a/x%2Fy");
        assert_eq!(topic("a/{device}", "x%2Fy", "/"), "a/x%252Fy");
        assert_eq!(topic("{device}", "$SYS", "/"), "%24SYS");
        assert_eq!(topic("{path}", "l", "/$SYS/x"), "%24SYS/x");
        assert_eq!(topic("a{path}", "l", "/+/#/\0"), "a/%2B/%23/%00");
    }

    #[test]
    fn trust_is_told_where_no_device_publishes() {
        let device = UpstreamDevice {
            key: DeviceKey::new(1, 2),
            name: "lamp-1".into(),
            type_name: "lamp".into(),
            endpoint_names: vec![],
        };
        let told = |template| Topic::parse(template).unwrap().of_trust("city", &device).unwrap();
        let default = crate::upstream::config::TOPIC_DEFAULT;
        assert_eq!(told(default), "bartizan/city/lamp/lamp-1/$trust");
        assert_eq!(told("{path}"), "bartizan/$trust");
        assert_eq!(told("a/{device}/"), "a/lamp-1/$trust");
        assert_eq!(topic(default, "lamp-1", "/$trust"), "bartizan/city/lamp/lamp-1/%24trust");
    }

    #[test]
    fn templates_that_cannot_be_published_to_are_refused() {
        for template in ["", "a/#", "+/{device}", "{dev}", "{device", "$SYS/{device}", "a\0"] {
            assert!(Topic::parse(template).is_err(), "{template}");
        }
    }

    #[test]
    fn the_length_is_bounded() {
        let parsed = Topic::parse("{path}").unwrap();
        let device = UpstreamDevice {
            key: DeviceKey::new(1, 2),
            name: String::new(),
            type_name: String::new(),
            endpoint_names: vec![],
        };
        let of = |n| parsed.of("", &device, &"a".repeat(n)).is_ok();
        assert!(of(limits::MQTT_TOPIC_BYTES_MAX));
        assert!(!of(limits::MQTT_TOPIC_BYTES_MAX + 1));
        assert!(!of(0));
    }
}
