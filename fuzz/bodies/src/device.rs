//! The device's side of CoAP, and the bytes that it keeps over a sleep.

use bartizan_crypto::{INSECURE, SecretBytes};
use bartizan_device::exchange::Endpoint;
use bartizan_device::limits::{READY_MAX, REQUESTS_MAX};
use bartizan_device::{
    Client, ClientConfig, ClientEvent, Code, Config, ExchangeConfig, IncomingId, Instant, Reply, Request,
};

use crate::coap;
use crate::script::Script;

fn random(out: &mut [u8]) {
    out.fill(9);
}

/// An application that does as the script says, and a gateway that sends what the script says.
pub fn client(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut now = Instant::from_millis(0);
    let mut endpoint = Endpoint::new(ExchangeConfig::default(), &mut random);
    endpoint.open();
    let mut commands = Vec::new();
    let mut sent = Vec::new();
    let mut asked = 0;
    while !script.is_over() {
        now = now.plus(u64::from(script.byte() >> 4) * 100);
        step(&mut script, now, &mut endpoint, &mut commands, &sent, &mut asked);
        endpoint.handle_timeout(now);
        let mut burst = 0;
        while let Some(message) = endpoint.poll_transmit(now) {
            assert!(message.len() <= 1136, "a message fits its record");
            sent.push(message);
            burst += 1;
        }
        assert!(burst <= READY_MAX + 2, "one step cannot make a flood");
        take_events(&mut endpoint, &mut commands, &mut asked);
        assert!(asked <= REQUESTS_MAX);
        if endpoint.is_silent() {
            endpoint.close();
            endpoint.open();
        }
    }
}

fn step(
    script: &mut Script<'_>,
    now: Instant,
    endpoint: &mut Endpoint,
    commands: &mut Vec<IncomingId>,
    sent: &[Vec<u8>],
    asked: &mut usize,
) {
    match script.byte() % 8 {
        0 => endpoint.handle(now, script.bytes()),
        1 => endpoint.handle(now, &answer(script, sent)),
        2 => {
            let payload = vec![7; usize::from(script.short() % 5000)];
            *asked += usize::from(endpoint.request(Request::post("/a?b", 50, &payload)).is_ok());
        }
        3 => *asked += usize::from(endpoint.observe("/o").is_ok()),
        4 => {
            let payload = vec![8; usize::from(script.short() % 5000)];
            if let Some(command) = commands.pop() {
                let _ = endpoint.respond(now, command, &Reply::content(0, &payload));
                commands.insert(0, command);
            }
        }
        5 => {
            if let Some(command) = commands.first() {
                let _ = endpoint.notify(now, *command, &Reply::content(0, script.bytes()), script.byte() > 127);
            }
        }
        6 => endpoint.handle_timeout(now.plus(u64::from(script.short()) * 10)),
        _ => {
            // The latest message of the device, thrown back at it with a byte changed.
            let mut echo = sent.last().cloned().unwrap_or_default();
            let at = usize::from(script.byte());
            if let Some(byte) = echo.get_mut(at) {
                *byte = script.byte();
            }
            endpoint.handle(now, &echo);
        }
    }
}

/// A plausible answer to the latest message of the device: its token and message id, options of the script.
fn answer(script: &mut Script<'_>, sent: &[Vec<u8>]) -> Vec<u8> {
    use bartizan_wire::coap::{Builder, MessageView, OptionNumber, Type};
    let asked = sent.last().and_then(|message| MessageView::parse(message).ok());
    let (id, token) = asked.map_or((0, &[][..]), |view| (view.message_id(), view.token()));
    let kind = [Type::Acknowledgement, Type::Confirmable, Type::NonConfirmable, Type::Reset];
    let kind = kind[usize::from(script.byte() % 4)];
    let mut buffer = [0; 1024];
    let mut builder = Builder::new(&mut buffer, kind, Code(script.byte()), id, token);
    for _ in 0..script.byte() % 4 {
        builder = builder.option(OptionNumber(u16::from(script.byte() % 64)), script.bytes());
    }
    builder.payload(script.bytes()).finish().map(<[u8]>::to_vec).unwrap_or_default()
}

fn take_events(endpoint: &mut Endpoint, commands: &mut Vec<IncomingId>, asked: &mut usize) {
    while let Some(event) = endpoint.poll() {
        match event {
            ClientEvent::Command(command) => commands.push(command.id),
            ClientEvent::Response { .. } | ClientEvent::Failed { .. } => *asked -= 1,
            _ => {}
        }
    }
    commands.truncate(64);
}

#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let deliver = |message: &[u8]| [&[0x10, 0, message.len() as u8][..], message].concat();
    let mut seeds: Vec<Vec<u8>> = coap::seeds().iter().map(|message| deliver(message)).collect();
    // A large request whose blocks are confirmed; an observation that is answered; a command in blocks.
    seeds.push([&[0x10, 2, 0x0c, 0x00][..], &[0x10, 1, 0, 0x5f, 1, 27, 1, 0x0e, 0].repeat(3)].concat());
    seeds.push(vec![0x10, 3, 0x10, 1, 0, 69, 1, 6, 1, 5, 1, b'x', 0x10, 1, 1, 69, 1, 6, 1, 6, 1, b'y']);
    let block = |id: u8, block: u8| {
        let payload = [b'z'; 16];
        let message = [&[0x40, 3, 0, id, 0xb1, b'f', 0xd1, 3, block, 0xff][..], &payload].concat();
        deliver(&message)
    };
    seeds.push([block(1, 0x08), block(2, 0x18), block(3, 0x20), vec![0x10, 4, 0x10, 0]].concat());
    seeds
}

/// Bytes from a device's flash, perhaps worn: woken from or refused.
pub fn saved(bytes: &[u8]) {
    let now = Instant::from_millis(0);
    let Ok((mut client, keep)) = Client::wake(config(), bytes, now, &mut random) else {
        return;
    };
    assert!(Client::wake(config(), &keep, now, &mut random).is_ok(), "what a client keeps wakes it again");
    let _ = client.request(now, Request::post("/a", 50, b"{}"));
    while client.poll_transmit(now).is_some() {}
    client.handle_timeout(now.plus(10_000), &mut random);
    while client.poll_transmit(now).is_some() {}
}

fn config() -> Config {
    let psk = SecretBytes::new(b"sixteen bytes or more").expect("short enough");
    Config::new(ClientConfig::new(&INSECURE, b"device", psk))
}

#[must_use]
pub fn saved_seeds() -> Vec<Vec<u8>> {
    vec![crate::dtls::sleeping_client(config())]
}
